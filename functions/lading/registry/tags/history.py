"""Tag history: each change of a tag is an event, created in the same commit as the change, with its copy in the outbox.

The number of an event comes from the tag's counter, which is written at the version that was read. Of two concurrent
changes of a tag, one commits, and the other conflicts and reads again. So the numbers have no gap.

The id of an event begins with the time remaining until the year 2286, so that listings return the newest event first.
This time is that of the event's stamp, which is the event's own time, but never earlier than the previous stamp. The
two differ only after a clock was far ahead. The counter records the first such event, and what the tag pointed to at a
time is then searched by number.
"""

import re
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from lading.registry.change_context import MAX_CLOCK_SKEW, ChangeContext, Clock
from lading.registry.events.outbox import EPOCH, MICROSECOND, tag_event
from lading_storage.protocols import Create, Found, Replace, Write
from lading_storage.records.core import Key, Tag
from lading_storage.records.deleted import TagEvent, TagHistory

MAX_TIME: Final = 10**16
"""Microseconds since the epoch: later than any event."""
MAX_EVENTS: Final = 10**10
"""More than the events of any tag."""

_ID: Final = re.compile(r"[0-9]{17}-[0-9]{10}-[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def is_event_id(id: str) -> bool:
    """Return whether `id` is a valid event id."""
    return _ID.fullmatch(id) is not None


def history_keys(repository: str, tag: str) -> list[Key[Any]]:
    """Return the keys to read before a change of a tag, in addition to the tag itself."""
    return [Key(TagHistory, tag, repository)]


def next_event_time(found: Found, key: Key[Tag], clock: Clock) -> datetime:
    """Return the time of the next event.

    If the previous event is a little later, because clocks differ, this is its time. If the previous event was dated by
    a clock that was far ahead, the next one has its own time, and only its stamp follows the previous one
    (`event_writes`).
    """
    time, history = clock(found.read_at), found[Key(TagHistory, key.id, key.repository)]
    if history is None or _stamp(history) - time > MAX_CLOCK_SKEW:
        return time
    return max(time, _stamp(history))


class TagChange(NamedTuple):
    """Digests to which a tag pointed before the change, and points after it; "" for none.

    `media_type` and `size` are those of the manifest to which it points after the change.
    """

    before: str
    digest: str
    media_type: str = ""
    size: int = 0


def event_writes(
    found: Found, key: Key[Tag], change: TagChange, context: ChangeContext, moved: datetime
) -> list[Write]:
    """Return the writes that record a change of a tag: its event, the counter at the version that was read, the outbox.

    Args:
        found: the records of `history_keys`.
        key: of the tag.
        change: the digests before and after.
        context: of the change.
        moved: the time of the event (`next_event_time`).
    """
    tag, repository = key.id, key.repository
    history = found[Key(TagHistory, tag, repository)]
    number = 1 if history is None else history.moves + 1
    stamp = moved if history is None else max(moved, _stamp(history))
    clamped = history.clamped if history and history.clamped else number if stamp != moved else 0
    counter = TagHistory(id=tag, repository=repository, moves=number, moved=moved, stamp=stamp, clamped=clamped)
    event = TagEvent(
        id=f"{_inverted_time(stamp)}-{MAX_EVENTS - number:010d}-{tag}",
        repository=repository,
        tag=tag,
        number=number,
        digest=change.digest,
        before=change.before,
        action=context.action,
        by=context.actor,
        request=context.request_id,
        moved=moved,
    )
    return [
        Create(event),
        Create(counter) if history is None else Replace(replace(counter, version=history.version)),
        tag_event(event, stamp, change.media_type, change.size),
    ]


def stamp_of_event(event: TagEvent) -> datetime:
    """Return the stamp of an event, from its id."""
    return EPOCH + MICROSECOND * (MAX_TIME - int(event.id[:17]))


def cursor_at(moment: datetime) -> str:
    """Return the id after which a listing returns the events up to and including `moment`."""
    return _inverted_time(moment)


def _stamp(history: TagHistory) -> datetime:
    """Return the stamp of the last event; an older release writes none."""
    return max(history.stamp or history.moved, history.moved)


def _inverted_time(moment: datetime) -> str:
    return f"{MAX_TIME - (moment - EPOCH) // MICROSECOND:017d}"
