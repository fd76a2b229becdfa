"""The choice of the events that a reader receives next, and of its next cursor."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lading.registry.events.event_cursor import MAX_RETURNED, EventCursor, hash_of
from lading_storage.records.events import PublishedEvent


@dataclass(frozen=True, slots=True)
class Reading:
    """Part of the published events, as a read has found it.

    Attributes:
        events: all events that were visible from the reader's position up to `end`, sorted by id.
        settled: the position up to which no further event can become visible.
        end: the last id that was read if there may be more, or "" where the read has reached the end.
    """

    events: Sequence[PublishedEvent]
    settled: str
    end: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """The events that a reader receives.

    Attributes:
        events: in the order of publication.
        cursor: after which the reader continues.
        more: whether wanted events remain, of those that were looked through. It tells nothing of others.
        ready: whether events, wanted or not, can be read at once; others wait until earlier ones are settled.
    """

    events: Sequence[PublishedEvent]
    cursor: EventCursor
    more: bool
    ready: bool


def select(reading: Reading, cursor: EventCursor, is_wanted: Callable[[PublishedEvent], bool], limit: int) -> Selection:
    """Return the first `limit` wanted events that the cursor does not have, and the next cursor.

    The position moves over settled events alone. Of those after it, as many are returned as the cursor can remember.

    Args:
        reading: what was read after the cursor's position.
        cursor: of the reader.
        is_wanted: whether the reader may see an event, and wants it.
        limit: the maximum number of events, at least 1.
    """
    fresh = [each for each in reading.events if hash_of(each) not in cursor.returned and is_wanted(each)]
    settled = [each for each in fresh if each.id <= reading.settled]
    chosen = settled[:limit]
    is_cut = len(settled) > limit
    reached = chosen[-1].id if is_cut else min(reading.settled, reading.end or reading.settled)
    position = max(cursor.position, reached)
    passed = {hash_of(each) for each in reading.events if each.id <= position}
    # A hash without its event stays: another process has returned it, and this one has not read that far yet.
    returned = cursor.returned - passed
    if not is_cut:
        room = min(limit - len(chosen), MAX_RETURNED - len(returned))
        unsettled = fresh[len(settled) : len(settled) + room]
        chosen += unsettled
        returned |= {hash_of(each) for each in unsettled}
    more = len(chosen) < len(fresh)
    ready = bool(reading.end) or (more and len(chosen) == limit)
    return Selection(chosen, EventCursor(position, frozenset(returned)), more, ready)
