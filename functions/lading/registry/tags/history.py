"""Moves of tags: each is a row of the tag's history, created in the very commit that makes it.

The row's number comes from the tag's counter, which is written at the version that was read: of two that move a tag at
once, one commits, and the other reads again. So the numbers have no gap.

An id begins with the time that is left until the year 2286, so that listings give the newest first: with that of the
row's stamp, which is its time, but never earlier than the stamp before. The two differ only after a clock that was far
ahead; the counter remembers the first such row, and what a tag named at a time is then looked for by number.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from lading.registry.change_context import MAX_CLOCK_SKEW, ChangeContext, Clock
from lading_storage.protocols import Create, Found, Replace, Write
from lading_storage.records.core import Key, Tag
from lading_storage.records.deleted import TagEvent, TagHistory

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME: Final = 10**16
"""Microseconds from the epoch: later than any move."""
MAX_EVENTS: Final = 10**10
"""More than the moves of any tag."""


_ID: Final = re.compile(r"[0-9]{17}-[0-9]{10}-[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")


def is_event_id(id: str) -> bool:
    """Whether `id` can be a move's."""
    return _ID.fullmatch(id) is not None


def history_keys(repository: str, tag: str) -> list[Key[Any]]:
    """What must be read to move a tag, beside the tag."""
    return [Key(TagHistory, tag, repository)]


def next_event_time(found: Found, key: Key[Tag], clock: Clock) -> datetime:
    """Return the time of the next move.

    Where clocks differ a little, that of the move before. Where the move before is of a clock that was far ahead, this
    one has its own time all the same, and only its place in the order is that of the other: see `row`.
    """
    time, history = clock(found.read_at), found[Key(TagHistory, key.id, key.repository)]
    if history is None or _stamp(history) - time > MAX_CLOCK_SKEW:
        return time
    return max(time, _stamp(history))


class TagChange(NamedTuple):
    """What a tag named before, and what it names now: digests, or "" for nothing."""

    before: str
    digest: str


def event_writes(
    found: Found, key: Key[Tag], change: TagChange, context: ChangeContext, moved: datetime
) -> list[Write]:
    """The writes that put a move on record: its row, and the counter at the version that was read."""
    tag, repository = key.id, key.repository
    history = found[Key(TagHistory, tag, repository)]
    number = 1 if history is None else history.moves + 1
    stamp = moved if history is None else max(moved, _stamp(history))
    clamped = history.clamped if history and history.clamped else number if stamp != moved else 0
    counter = TagHistory(id=tag, repository=repository, moves=number, moved=moved, stamp=stamp, clamped=clamped)
    move = TagEvent(
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
    return [Create(move), Create(counter) if history is None else Replace(replace(counter, version=history.version))]


def cursor_at(repository: str, moment: datetime) -> Key[TagEvent]:
    """The key behind which listings give the moves up to `moment`, that moment included."""
    return Key(TagEvent, _inverted_time(moment), repository)


def _stamp(history: TagHistory) -> datetime:
    """Return the stamp of the last move; an older release writes none, and moves on without one."""
    return max(history.stamp or history.moved, history.moved)


def _inverted_time(moment: datetime) -> str:
    return f"{MAX_TIME - (moment - EPOCH) // timedelta(microseconds=1):017d}"
