"""PublishRuns: the runs of one process that calls of the function `publish` cause.

    sweep   ────────────────────────────────────┬─▶ publisher, one run at a time ──▶ deliveries, one run at a time
    wake-up ──▶ has no run read its event yet? ─┘

Deliveries have a lock of their own, so that slow endpoints do not hold up events.

A wake-up comes for each event. A run reads all that waits, so one that began after a wake-up came has read its event:
a burst of events makes a few runs. And where a run leaves events, since a topic is down or refuses them, the next one
reads them again; so wake-ups then rest for a time that grows with their number, and the sweep alone retries.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from threading import Lock
from typing import Final

from lading.events.publish_report import PublishReport
from lading.events.publisher import Publisher
from lading.registry.errors import UNAVAILABLE, RegistryError

WAKE_UP_WAIT: Final = timedelta(seconds=3)
WAKE_UP_LIMIT: Final = timedelta(seconds=5)
"""Time of a run for Eventarc, which repeats a request that takes longer than 10 seconds, and before it, of another."""

WAKE_UP_END: Final = 9.0
MIN_ATTEMPT: Final = 3.0
"""Seconds after which such a run has ended with its last attempts, and those that an attempt has at least."""

SWEEP_WAIT: Final = timedelta(seconds=30)
SWEEP_LIMIT: Final = timedelta(minutes=4)
"""The same for Cloud Scheduler, whose deadline, and the function's, is five minutes: then the instance ends the run.
The last attempts have ten seconds more."""

REST: Final = 0.01
MAX_REST: Final = 300.0
"""Seconds of rest for each event that a run left, and at most, which is the interval of the sweep: Firestore charges
for each event that is read again, about $3 a day at 100 a second."""

Deliver = Callable[[Callable[[], bool], float | None], Mapping[str, int]]
"""Attempts deliveries that are due until the given function returns true; returns how many, by what became of them.

The time of time.monotonic, unless it is None, is when the last attempts end.
"""


class PublishRuns:
    """The runs of one process. Thread-safe."""

    def __init__(self, publisher: Publisher, deliver: Deliver, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Run `publisher`, and then `deliver` (DeliveryRun.run)."""
        self._publisher = publisher
        self._deliver = deliver
        self._monotonic = monotonic
        self._publishing, self._delivering, self._delivers_next = Lock(), Lock(), Lock()
        self._read_since = self._rests_until = 0.0

    def run(self, limit: timedelta = SWEEP_LIMIT) -> PublishReport:
        """Publish and deliver what waits, as the sweep does.

        Args:
            limit: how long that may last; it ends after the step, and the attempts, that exceed this.

        Raises:
            RegistryError: UNAVAILABLE if another run takes too long.
            StorageError: the store failed. What was published is published again.
        """
        with _held(self._publishing, SWEEP_WAIT):
            report = self._publish(limit, "")
        return self._delivered(report, limit)

    def wake_up(self, first: str) -> PublishReport | None:
        """Publish and deliver what waits, from the range `first` on; return None where no run is needed.

        Raises as `run` does.
        """
        came = self._monotonic()
        with _held(self._publishing, WAKE_UP_WAIT):
            if came < max(self._read_since, self._rests_until):
                return None
            report = self._publish(WAKE_UP_LIMIT, first)
        return self._delivered(report, WAKE_UP_LIMIT, came + WAKE_UP_END)

    def _publish(self, limit: timedelta, first: str) -> PublishReport:
        began = self._monotonic()
        report = self._publisher.run(limit, first)
        if report.seconds < limit.total_seconds():
            self._read_since = began
            # Where nothing waits, the events of wake-ups that came during the run are new.
            self._rests_until = self._monotonic() + rest_after(report) if report.read_again else 0.0
        return report

    def _delivered(self, report: PublishReport, limit: timedelta, ends_at: float | None = None) -> PublishReport:
        """Deliver within what remains of a run's time, after another run that does; return the completed report.

        One run waits for that: its deliveries are those of all runs that end meanwhile.
        """
        now = self._monotonic()
        remaining = limit.total_seconds() - report.seconds
        if ends_at is not None:
            remaining = min(remaining, ends_at - MIN_ATTEMPT - now)
        deadline = now + max(0.0, remaining)
        if not self._delivers_next.acquire(blocking=False):
            return report
        try:
            has_acquired = self._delivering.acquire(timeout=max(0.0, remaining))
        finally:
            self._delivers_next.release()
        if has_acquired:
            try:
                report.deliveries.update(self._deliver(lambda: self._monotonic() > deadline, ends_at))
            finally:
                self._delivering.release()
        return report


def rest_after(report: PublishReport) -> float:
    """Return for how many seconds not to read again what a run left, since that costs more than it brings."""
    return min(REST * report.read_again, MAX_REST)


@contextmanager
def _held(lock: Lock, wait: timedelta) -> Iterator[None]:
    """Hold a lock during the block. Raises RegistryError: UNAVAILABLE if it takes longer than `wait` to acquire it."""
    if not lock.acquire(timeout=wait.total_seconds()):
        raise RegistryError(UNAVAILABLE)
    try:
        yield
    finally:
        lock.release()
