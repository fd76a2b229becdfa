"""The feed of published events: one read of the store at an interval serves all readers of a process.

    an hour ago ────────────────────── two minutes ago ─────────────── now
      from the store, for readers       in memory, read again until an
      that were away                    event cannot become visible late

Reads are made by the readers themselves, by one at a time, so that a registry without readers reads nothing. Most reads
cover the last seconds, and one in some seconds all that is not settled.
"""

import threading
import time
from bisect import bisect_right, insort
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from lading.registry.change_context import MAX_CLOCK_SKEW, Clock
from lading.registry.errors import EVENTS_GONE, RegistryError
from lading.registry.events.event_cursor import EventCursor, position_after
from lading.registry.events.outbox import EPOCH
from lading.registry.events.selection import Reading, Selection, select
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import PublishedEvent

OVERLAP: Final = timedelta(minutes=2)
"""Time from the publication of an event until it is visible, with the difference of two clocks, at most."""

READABLE: Final = timedelta(minutes=61)
"""How far back a reader can begin: an hour before it sent its request, which may have waited."""

KEPT: Final = READABLE + 4 * MAX_CLOCK_SKEW
"""How long the publisher keeps what it has published, for readers: its clock may be ahead of theirs."""

RECENT: Final = timedelta(seconds=5)
FULL_INTERVAL: Final = 15.0
"""How far before the last read most reads begin, and seconds between two that begin where events are settled: nearly
all commits are visible at once, and each event that is read again costs a read of a document in Firestore."""

MAX_AHEAD: Final = timedelta(seconds=10)
"""How far a cursor may be in the future. With more, the clock was set back, and new events precede the cursor."""

PAGE_SIZE: Final = 500
PAGES_PER_READ: Final = 4
MAX_SCANNED: Final = 2 * PAGE_SIZE
"""Events of one page, pages of one shared read, and events that a reader that was away looks through at a time."""

MAX_SCAN: Final = 5.0
"""Seconds after which a reader that was away gets an empty page, where none of what it looked through is wanted."""

MAX_EVENTS: Final = 4_000
"""Events in memory, of about 1 KB each."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """Series of reads from a position to the end, which may take several reads after a burst of events.

    began   when it began: what was published OVERLAP before is complete after it
    after   the position of the next read
    full    whether it began where events are settled
    """

    began: datetime
    after: str
    full: bool


class EventFeed:
    """The published events of one registry. Thread-safe.

    version  changes with each new event, and with each progress of the settled position
    """

    def __init__(self, metadata: MetadataStore, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Read from `metadata`, at the first call of `refresh`."""
        self._metadata = metadata
        self._clock = clock
        self._monotonic = monotonic
        self._changed = threading.Condition()
        self._events: list[PublishedEvent] = []
        self._ids: set[str] = set()
        self._settled = ""
        self._horizon = ""
        self._pass: _Pass | None = None
        self._began = EPOCH
        self._full_at = 0.0
        self._is_reading = False
        self._interval = 0.0
        self._due = -1.0
        self.version = 0

    def refresh(self, interval: float) -> None:
        """Read what is new, unless another thread does, or the last read is younger than `interval` seconds.

        Raises StorageError; the next attempt is due after the same interval.
        """
        with self._changed:
            if self._is_reading or (self._due >= 0 and self._monotonic() < self._due):
                return
            self._is_reading, self._interval, self._due = True, interval, self._monotonic() + interval
        try:
            self._read()
        finally:
            with self._changed:
                self._is_reading = False

    def wait(self, version: int, timeout: float) -> None:
        """Wait until the version is another one, a read is due, or `timeout` seconds have passed."""
        with self._changed:
            if self.version == version:
                until_due = self._interval if self._is_reading else self._due - self._monotonic()
                self._changed.wait(max(0.0, min(timeout, until_due)))

    def beginning(self, since: datetime | timedelta | None) -> EventCursor:
        """Return the cursor of a reader that begins after a time, or so long ago, or now. Raises OverflowError."""
        now = self._clock()
        time = now - since if isinstance(since, timedelta) else since
        return EventCursor.after_time(min(now, time) if time else now)

    def has(self, cursor: EventCursor) -> bool:
        """Return whether all events after the cursor are in memory, so that `select` makes no read of its own."""
        with self._changed:
            return bool(self._horizon) and cursor.position >= self._horizon

    def select(self, cursor: EventCursor, is_wanted: Callable[[PublishedEvent], bool], limit: int) -> Selection:
        """Return the next events of a reader. See selection.select.

        Where what was looked through has none, the search goes on: an empty page must not tell of events of others.

        Raises:
            RegistryError: EVENTS_GONE if events after the cursor may have been removed, or precede it since the clock
                was set back.
            StorageError: the store failed.
        """
        deadline = self._monotonic() + MAX_SCAN
        while True:
            reading = self._in_memory(cursor.position) or self._stored(cursor.position)
            # Checked after the read: what was removed during it may be missing from it.
            age = self._clock() - cursor.time
            if age > READABLE or age < -MAX_AHEAD:
                raise RegistryError(EVENTS_GONE)
            found = select(reading, cursor, is_wanted, limit)
            # Of events that are not settled, a read never gets past the first MAX_SCANNED.
            goes_on = bool(reading.end) and found.cursor.position > cursor.position
            if found.events or not goes_on or self._monotonic() >= deadline:
                return found
            cursor = found.cursor

    def _in_memory(self, position: str) -> Reading | None:
        with self._changed:
            if not self._horizon or position < self._horizon:
                return None
            start = bisect_right(self._events, position, key=_id_of)
            return Reading(self._events[start:], self._settled)

    def _stored(self, position: str) -> Reading:
        """Return what the store has after a position, MAX_SCANNED events at most."""
        settled, events = position_after(self._clock() - OVERLAP), list[PublishedEvent]()
        page = self._page(position)
        events += page
        while len(page) == PAGE_SIZE and len(events) < MAX_SCANNED:
            page = self._page(page[-1].id)
            events += page
        return Reading(events, settled, events[-1].id if len(page) == PAGE_SIZE else "")

    def _page(self, after: str) -> Sequence[PublishedEvent]:
        return self._metadata.find(Query(PublishedEvent, after=after, limit=PAGE_SIZE))

    def _read(self) -> None:
        """Make one shared read, of PAGES_PER_READ pages at most. Called by one thread at a time."""
        current = self._pass or self._next_pass(self._clock())
        self._began = current.began
        for _ in range(PAGES_PER_READ):
            page = self._page(current.after)
            if page:
                current = _Pass(current.began, page[-1].id, current.full)
            self._add(page)
            if len(page) < PAGE_SIZE:
                self._pass = None
                if current.full:
                    self._advance_settled(current.began)
                return
            self._pass = current

    def _next_pass(self, now: datetime) -> _Pass:
        if not position_after(now - 2 * OVERLAP) <= self._settled <= position_after(now):
            # The first read, or the first for a while: readers that were away read from the store. Or the clock was
            # set back.
            with self._changed:
                self._events, self._ids = [], set()
                self._settled = self._horizon = position_after(now - OVERLAP)
            self._full_at = self._monotonic() + FULL_INTERVAL
            return _Pass(now, self._settled, full=True)
        if self._monotonic() >= self._full_at:
            self._full_at = self._monotonic() + FULL_INTERVAL
            return _Pass(now, self._settled, full=True)
        return _Pass(now, max(self._settled, position_after(self._began - RECENT)), full=False)

    def _add(self, page: Sequence[PublishedEvent]) -> None:
        with self._changed:
            fresh = [each for each in page if each.id not in self._ids and each.id > self._horizon]
            for each in fresh:
                insort(self._events, each, key=_id_of)
                self._ids.add(each.id)
            surplus = self._events[: max(0, len(self._events) - MAX_EVENTS)]
            if surplus:
                self._horizon = surplus[-1].id
                del self._events[: len(surplus)]
                self._ids.difference_update(each.id for each in surplus)
            if fresh:
                self._notify()

    def _advance_settled(self, began: datetime) -> None:
        with self._changed:
            self._settled = max(self._settled, position_after(began - OVERLAP))
            self._notify()

    def _notify(self) -> None:
        self.version += 1
        self._changed.notify_all()


def _id_of(event: PublishedEvent) -> str:
    return event.id
