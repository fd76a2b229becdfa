"""Backlog: what is known to wait at the front of the ranges of the outbox, so that each run need not read it again.

    front of a range ─────────────── position ──────────────── end
      waits for sinks that are down    read by each run
      and repositories they refuse

A run begins at the position, or, where a sink or repository is retried, before the first event that waits for it. Only
events that are settled are known: no earlier one of theirs can become visible any more. What is put there all the same,
by a replay or with a clock that was set back, is found when the front is read again, after MAX_AGE.

In memory: another process reads the front once.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, Protocol

from lading_storage.records.events import Event

MAX_AGE: Final = timedelta(minutes=10)
"""Time after which the front of a range is read again."""

MAX_CAUSES: Final = 1_000
"""Causes of one range that are remembered. What waits for further ones is read again by each run."""

Cause = tuple[str, str]
"""What an event waits for: the name of a sink that is down, and ""; or a sink, and the repository that it refuses."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Event that remains in the outbox after it was handed to the sinks.

    Attributes:
        event: the event.
        causes: what it waits for, and until when a refused repository is left alone; None if that is unknown: the
            commit failed, or the run ended.
    """

    event: Event
    causes: Mapping[Cause, datetime | None] | None


@dataclass(frozen=True, slots=True)
class Start:
    """Where to read a range: after an id; `due` are the causes that are retried."""

    place: str
    after: str
    due: Collection[Cause] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """One read of the outbox.

    Attributes:
        start: where it began. It can have gone on to further ranges.
        settled: the sequence before which no further event could become visible when it was made.
        events: what was read.
        is_last: whether nothing followed.
    """

    start: Start
    settled: str
    events: Sequence[Event]
    is_last: bool


class Retries(Protocol):
    """What a run retries."""

    def is_due(self, cause: Cause, until: datetime | None) -> bool:
        """Return whether events that wait for a cause are offered in this run. If not, none that follow them are."""
        ...


@dataclass(frozen=True, slots=True)
class _Wait:
    """The events that wait for one cause: all are after an id; `moved` is when the first was created."""

    after: str
    moved: datetime
    until: datetime | None


class Backlog:
    """What is known to wait in one range.

    position  all events up to it wait for the causes alone
    since     when the front was read
    events    how many wait, as far as this process knows
    """

    def __init__(self, position: str, since: datetime) -> None:
        self.position = position
        self.since = since
        self.events = 0
        self.waits: dict[Cause, _Wait] = {}

    @property
    def oldest(self) -> datetime:
        """When the oldest event was created."""
        return min(each.moved for each in self.waits.values())

    def start(self, place: str, retries: Retries) -> Start:
        """Return where to read, and what is retried there."""
        due = [cause for cause, wait in self.waits.items() if retries.is_due(cause, wait.until)]
        return Start(place, min((self.waits[each].after for each in due), default=self.position), due)

    def add(self, start: Start, end: str, read: Sequence[Event], kept: Sequence[Kept], settled: str) -> None:
        """Add those events that remain of a read from `start` to the id `end`. Those before `settled` count."""
        before, self.events = self.position, self.events - sum(each.id <= self.position for each in read)
        reached, found = self._found(start, end, kept, settled)
        for cause in start.due:
            wait = self.waits.pop(cause)
            if reached < before or wait.after > reached:
                self.waits[cause] = replace(wait, after=max(wait.after, reached))
        for cause, wait in found.items():
            known = self.waits.get(cause)
            first = known if known and known.after <= wait.after else wait
            self.waits[cause] = replace(first, until=wait.until)
        self.events = max(self.events, 0) + sum(each.event.id <= self.position for each in kept)

    def _found(self, start: Start, end: str, kept: Iterable[Kept], settled: str) -> tuple[str, Mapping[Cause, _Wait]]:
        """Advance the position over events whose causes are known; return how far that is so, and the causes."""
        previous, found = start.after, dict[Cause, _Wait]()
        for each in kept:
            event, causes = each.event, each.causes
            is_new = event.id > self.position
            if causes is None or (is_new and (event.sequence >= settled or self._has_many(causes, found))):
                return self.position if is_new else previous, found
            for cause, until in causes.items():
                found.setdefault(cause, _Wait(previous, event.moved, until))
            previous = event.id
            self.position = max(self.position, previous)
        return end, found

    def _has_many(self, causes: Iterable[Cause], found: Collection[Cause]) -> bool:
        return len(self.waits) + len(found) >= MAX_CAUSES and not all(
            each in self.waits or each in found for each in causes
        )


class Backlogs:
    """What is known to wait in all ranges. Not thread-safe."""

    def __init__(self) -> None:
        """Know nothing."""
        self._backlogs: dict[str, Backlog] = {}

    def __bool__(self) -> bool:
        return bool(self._backlogs)

    def __iter__(self) -> Iterator[Backlog]:
        return iter(self._backlogs.values())

    def __contains__(self, place: str) -> bool:
        return place in self._backlogs

    def begin(self, time: datetime) -> None:
        """Begin a run: forget what is older than MAX_AGE, or from before the clock was set back."""
        self._backlogs = {
            place: each for place, each in self._backlogs.items() if each.since <= time < each.since + MAX_AGE
        }

    def start(self, place: str, retries: Retries) -> Start:
        """Return where to read a range."""
        backlog = self._backlogs.get(place)
        return backlog.start(place, retries) if backlog else Start(place, front_of(place))

    def add(self, page: Page, kept: Sequence[Kept], time: datetime) -> Sequence[Event]:
        """Add those events of a page that remain, at a time; return those that the next run reads again."""
        start, last = page.start, page.events[-1].id[0] if page.events else ""
        pages: dict[str, list[Event]] = {
            place: list(events) for place, events in groupby(page.events, key=lambda each: each.id[0])
        }
        again = list[Event]()
        for place in dict.fromkeys((start.place, *pages)):
            events = pages.get(place, [])
            begin = start if place == start.place else Start(place, front_of(place))
            is_whole = page.is_last or place != last
            backlog = self._backlogs.pop(place, None) or Backlog(begin.after, time)
            rest = [each for each in kept if each.event.id[0] == place]
            end = end_of(place) if is_whole else events[-1].id
            backlog.add(begin, end, events, rest, page.settled)
            again += [each.event for each in rest if each.event.id > backlog.position]
            if backlog.waits:
                self._backlogs[place] = backlog
        return again


def front_of(place: str) -> str:
    """Return a text before all ids of a range, and after those of the one before."""
    return f"{place}-"


def end_of(place: str) -> str:
    """Return a text after all ids of a range, and before those of the next one."""
    return f"{place}."
