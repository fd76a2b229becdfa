"""DeliveryJob: the delivery run as a job of a server, beside the publisher: slow endpoints do not hold up events."""

import time
from datetime import timedelta
from typing import Any, Final

from lading.events.deliveries import DeliveryRun
from lading.jobs.job_report import JobReport
from lading.jobs.throttle import Throttle

TIME_SLICE: Final = timedelta(minutes=5)
"""The end of a slice waits for slow endpoints, and other endpoints with it."""


class DeliveryReport(JobReport):
    """What a run of deliveries did: `counts` are what became of them."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON, for a log line and the metrics derived from it."""
        return {"deliveries": dict(sorted(self.counts.items())), "seconds": round(self.seconds, 3)}


class DeliveryJob:
    """Attempts deliveries that are due, as a SlicedJob. Not thread-safe, except for `stop`."""

    def __init__(self, deliveries: DeliveryRun) -> None:
        """Run `deliveries`."""
        self.throttle = Throttle()
        self._deliveries = deliveries
        self._stopped = False

    def stop(self) -> None:
        """Make a run in another thread, and all later ones, end after the attempts that are being made."""
        self._stopped = True

    def run(self, limit: timedelta = TIME_SLICE) -> JobReport:
        """Attempt what is due; no attempt begins after `limit`. Raises StorageError."""
        started = time.monotonic()
        deadline = started + limit.total_seconds()
        counts = self._deliveries.run(lambda: self._stopped or time.monotonic() > deadline)
        report = DeliveryReport(finished=True)
        report.counts.update(counts)
        report.seconds = time.monotonic() - started
        return report
