"""Publisher: takes events from the front of the outbox to every sink, and removes those that all sinks have.

    outbox, read from the front ──▶ sink: Pub/Sub topic   ─┐
                                ──▶ sink: Pub/Sub topic   ─┼─▶ one commit: delete the event, or note who has it
                                ──▶ sink: webhooks        ─┘   and create a published event, deliveries

There is no lease and no cursor. A publisher that is killed, or that loses a race against another one, leaves the events
where they are, and they are published again with the same ids. It reads each range of the outbox from its front,
because an event can become visible before others that were read already: its time was chosen before its commit. Where
more waits for a sink than one query reads, what is after that is published once it is settled.

Within a run, a sink that is down, or refuses a repository, is not tried again for what comes later: that would overtake
what it has not received.
"""

import random
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

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
"""Events of one range that are read in one query, which is a snapshot. Beyond that, only settled ones are read."""

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
            self._publish(work, first)
        work.finish()
        self._forget(report)
        report.at, report.seconds = self._clock(), time.monotonic() - started
        return report

    def is_over(self) -> bool:
        """Return whether the run should end."""
        return self._stopped or time.monotonic() > self._deadline

    def _publish(self, work: OutboxPass, first: str) -> None:
        """Publish all ranges, each from its front, `first` first."""
        page = self._read("", "", PAGE)
        if len(page) < PAGE and work.publish(page, PAGE, self.is_over):
            return
        # Publishers that begin in different ranges are in each other's way less often.
        first = first or random.choice(EVENT_RANGES)
        after = _next(first)
        for position, stop in ((first, after), (after, ""), ("", first)):
            self._publish_between(work, position, stop)

    def _publish_between(self, work: OutboxPass, position: str, stop: str) -> None:
        """Publish the ranges from `position` up to, but not including, `stop`; "" for the first, and for all."""
        size, chunk, races = PAGE, PAGE, 0
        while (not stop or position < stop) and not self.is_over():
            settled = sequence_of(self._clock() - SETTLED)
            page = self._read(position, stop, size)
            work.read_again(position, stop)
            is_last, before = len(page) < size, work.finished
            if not work.publish(page, chunk, self.is_over):
                # Another publisher was faster, or a commit too large: smaller ones lose less.
                races, chunk = races + 1, max(1, chunk // 4)
                if races < MAX_RACES:
                    continue
            elif races:
                races, chunk = 0, min(PAGE, 2 * chunk)
            if is_last:
                return
            self._pause(work.finished > before)
            reached = page[-1].id[0]
            waiting = work.waiting_in(reached)
            if reached != position:
                position, size, chunk, races = reached, PAGE, PAGE, 0
            elif races >= MAX_RACES or 2 * waiting > MAX_FRONT:
                if races < MAX_RACES:
                    self._publish_settled(work, page[-1].id, settled)
                position, size, chunk, races = _next(reached), PAGE, PAGE, 0
            else:
                # From the front again, past what waits: in one query, which is a snapshot.
                size = max(PAGE, 2 * waiting)

    def _publish_settled(self, work: OutboxPass, position: str, until: str) -> None:
        """Publish what follows an event in its range, a page at a time, up to a sequence."""
        stop = _next(position[0])
        while not self.is_over():
            before = work.finished
            page = [each for each in self._read(position, stop, PAGE) if each.sequence < until]
            work.publish(page, PAGE, self.is_over)
            if len(page) < PAGE:
                return
            self._pause(work.finished > before)
            position = page[-1].id

    def _read(self, position: str, stop: str, limit: int) -> list[Event]:
        """Return the first events after `position`, a range or the id of an event, and before the range `stop`."""
        page = self._metadata.find(Query(Event, after=f"{position}-" if position else "", limit=limit))
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
