"""Publisher: takes events from the front of the outbox to every sink, and removes those that all sinks have.

    outbox, read from the front ──▶ sink: Pub/Sub topic   ─┐
                                ──▶ sink: Pub/Sub topic   ─┼─▶ one commit: delete the event, or note who has it
                                ──▶ sink: webhooks        ─┘   and create a published event, deliveries

There is no lease and no stored cursor. A publisher that is killed, or that loses a race against another one, leaves the
events where they are, and they are published again with the same ids. It reads each range of the outbox from its front,
because an event can become visible before others that were read already: its time was chosen before its commit. Of what
waits there for sinks that are down, only what is not settled is read again (backlog.py).

Within a run, a sink that is down, or refuses a repository, is not tried again for what comes later: that would overtake
what it has not received.
"""

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from lading.events.backlog import Backlogs, Page, Start
from lading.events.backoff import SinkBackoff
from lading.events.outbox_pass import OutboxPass
from lading.events.publish_report import FORGOTTEN, PublishReport
from lading.events.published import MAX_FORGOTTEN, forget_old
from lading.events.sink import Sink
from lading.jobs.throttle import Throttle
from lading.registry.change_context import Clock
from lading.registry.events.outbox import sequence_of
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import EVENT_RANGES, Event

TIME_SLICE: Final = timedelta(seconds=30)

PAGE: Final = 100
"""Events of one query, and of one commit."""

MAX_FRONT: Final = 10_000
"""Events of one range that are not settled and are read in one query, which is a snapshot. What follows them waits."""

SETTLED: Final = timedelta(minutes=2)
"""Age of an event before which no earlier one of the same reference can become visible: commits take less."""

MAX_RACES: Final = 5
"""Commits of one range that may conflict before a run leaves it to the other publisher."""

FORGET_INTERVAL: Final = 60.0
"""Seconds between two deletions of old published events by one process: without that, an idle run is one query."""


class Publisher:
    """Publishes what is in the outbox. Not thread-safe, except for `stop`; several processes may publish at once."""

    def __init__(self, metadata: MetadataStore, sinks: Sequence[Sink], clock: Clock) -> None:
        """Publish from `metadata` to `sinks`, whose names differ."""
        self.throttle = Throttle()
        self._metadata = metadata
        self._sinks = {sink.name: sink for sink in sinks}
        self._backoffs = {name: SinkBackoff() for name in self._sinks}
        self._backlogs = Backlogs()
        self._clock = clock
        self._stopped = False
        self._deadline = 0.0
        self._forgets_at = 0.0

    def stop(self) -> None:
        """Make a run in another thread, and all later ones, end after the current step."""
        self._stopped = True

    def run(self, limit: timedelta = TIME_SLICE, first: str = "") -> PublishReport:
        """Publish once what is in the outbox.

        Args:
            limit: how long the run may last; it ends after the step that exceeds this.
            first: the range to begin with, one of EVENT_RANGES, or "" for any.

        Raises:
            StorageError: the store failed. What was published is published again.
        """
        started = time.monotonic()
        self._deadline = started + limit.total_seconds()
        self.throttle.start()
        report = PublishReport(finished=True)
        work = OutboxPass(self._metadata, self._sinks, self._backoffs, self._clock, report)
        if work.has_sinks:
            self._backlogs.begin(self._clock())
            self._publish(work, first)
            work.finish(self._backlogs)
        else:
            work.finish(Backlogs())
        self._forget(report)
        report.at, report.seconds = self._clock(), time.monotonic() - started
        return report

    def is_over(self) -> bool:
        """Return whether the run should end."""
        return self._stopped or time.monotonic() > self._deadline

    def _publish(self, work: OutboxPass, first: str) -> None:
        """Publish all ranges, `first` first."""
        if not self._backlogs:
            page = self._page(Start(EVENT_RANGES[0], ""), "", PAGE)
            if page.is_last and self._publish_page(work, page, PAGE):
                return
        # Publishers that begin in different ranges are in each other's way less often.
        first = first or random.choice(EVENT_RANGES)
        for place, stop in self._segments(first):
            self._publish_between(work, place, stop)

    def _segments(self, first: str) -> list[tuple[str, str]]:
        """Return the ranges to read one after another, up to where the next one begins, or to the end ("").

        One read begins at the first one, and at each of which the beginning is known.
        """
        start = EVENT_RANGES.index(first)
        order = EVENT_RANGES[start:] + EVENT_RANGES[:start]
        places = [each for each in order if each in (first, EVENT_RANGES[0]) or each in self._backlogs]
        return [(place, stop if stop > place else "") for place, stop in pairwise([*places, first])]

    def _publish_between(self, work: OutboxPass, place: str, stop: str) -> None:
        """Publish the ranges from `place` up to, but not including, `stop`; "" for all."""
        size, chunk, races = PAGE, PAGE, 0
        while (not stop or place < stop) and not self.is_over():
            page = self._page(self._backlogs.start(place, work), stop, size)
            work.read_again(place, stop)
            before = work.finished
            if not self._publish_page(work, page, chunk):
                # Another publisher was faster, or a commit too large: smaller ones lose less.
                races, chunk = races + 1, max(1, chunk // 4)
                if races < MAX_RACES:
                    continue
            elif races:
                races, chunk = 0, min(PAGE, 2 * chunk)
            if page.is_last:
                return
            self._pause(work.finished > before)
            reached = page.events[-1].id[0]
            waiting = work.waiting_in(reached)
            if reached != place:
                place, size, chunk, races = reached, PAGE, PAGE, 0
            elif races >= MAX_RACES or 2 * waiting > MAX_FRONT:
                place, size, chunk, races = _next(reached), PAGE, PAGE, 0
            else:
                # Again, past what waits and is not settled: in one query, which is a snapshot.
                size = max(PAGE, 2 * waiting)

    def _publish_page(self, work: OutboxPass, page: Page, chunk: int) -> bool:
        """Publish a page, and remember what waits; return whether each commit succeeded."""
        has_succeeded, kept = work.publish(page.events, chunk, self.is_over)
        work.wait(self._backlogs.add(page, kept, self._clock()))
        return has_succeeded

    def _page(self, start: Start, stop: str, size: int) -> Page:
        """Return the first `size` events from `start` on, and before the range `stop`."""
        settled = sequence_of(self._clock() - SETTLED)
        # Where nothing new is, a page would be of the next range, in which many events may wait.
        is_empty = bool(self._backlogs) and not self._read(start.after, stop, 1)
        events = [] if is_empty else self._read(start.after, stop, size)
        return Page(start, settled, events, len(events) < size)

    def _read(self, after: str, stop: str, limit: int) -> list[Event]:
        page = self._metadata.find(Query(Event, after=after, limit=limit))
        return [each for each in page if not stop or each.id < stop]

    def _pause(self, has_finished: bool) -> None:
        """Pause where events that wait were only read again: a sink that is down must not take a server's time."""
        if has_finished:
            self.throttle.start()
        else:
            self.throttle.pause()

    def _forget(self, report: PublishReport) -> None:
        if time.monotonic() >= self._forgets_at:
            report.counts[FORGOTTEN] = forgotten = forget_old(self._metadata, self._clock())
            # Where more than one call forgets is old, the next run goes on: pushes must not be faster.
            if forgotten < MAX_FORGOTTEN:
                self._forgets_at = time.monotonic() + FORGET_INTERVAL


def _next(place: str) -> str:
    """Return a text after all ids of a range, and not after those of the next one."""
    return chr(ord(place) + 1)
