"""ScanJob: the scanner as a job: of a server, which scans what is pushed within a second, or of the function `scan`.

While nothing is due a run is one query, and nothing that scans is imported: that begins with the first claim.
"""

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from lading.jobs.job_report import JobReport
from lading.jobs.throttle import Throttle
from lading.registry.change_context import Clock
from lading.registry.scans.claim import Claim
from lading.scanning.layer_packages import EXTRACTOR_VERSION

if TYPE_CHECKING:
    from lading.scanner.backend import DataSource, ScanBackend
    from lading.scanner.scan_run import ScanRun

log = logging.getLogger("lading")

TIME_SLICE: Final = timedelta(minutes=5)


class ScanReport(JobReport):
    """What a run did: `counts` are the states of the images, and the layers that were read."""

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON, for a log line and the metrics derived from it."""
        return {"scans": dict(sorted(self.counts.items())), "seconds": round(self.seconds, 3)}


class ScanJob:
    """Scans the images that are due, as a SlicedJob. Not thread-safe, except for `stop`."""

    def __init__(self, backend: "ScanBackend", data: "Callable[[], DataSource]", clock: Clock) -> None:
        """Scan the images of a registry.

        Args:
            backend: the registry.
            data: returns the vulnerability data; called with the first claim.
            clock: dates results.
        """
        self.throttle = Throttle()
        self._backend = backend
        self._data = data
        self._clock = clock
        self._stopped = False
        self._run: ScanRun | None = None

    def stop(self) -> None:
        """Make a run in another thread, and all later ones, end after the image that is being scanned.

        Its claim is released: the next process scans it again, and this does not count as one of its tries.
        """
        self._stopped = True
        claim = self._run.claim if self._run else None
        if claim is not None:
            # The process may end before the image is done, and a restart is no fault of the image.
            try:
                self._backend.release(claim)
            except Exception as error:
                # Whatever is down: it must not keep the server from ending.
                log.debug("the claim of %s@%s ends by itself: %s", claim.repository, claim.digest, error)

    def run(self, limit: timedelta = TIME_SLICE) -> JobReport:
        """Scan what is due; no image is begun after `limit`. Raises StorageError."""
        started = time.monotonic()
        deadline = started + limit.total_seconds()
        self.throttle.start()
        report = ScanReport(finished=True)
        first = None if self._stopped else self._backend.claim(EXTRACTOR_VERSION)
        if first is not None:
            self._scan(first, lambda: self._stopped or time.monotonic() > deadline, report)
        report.seconds = time.monotonic() - started
        return report

    def _scan(self, first: Claim, is_out_of_time: Callable[[], bool], report: JobReport) -> None:
        from lading.scanner.scan_run import ScanRun
        from lading.scanning.layer_scanner import LayerScanner

        with LayerScanner() as layers, self._data().opened() as data:
            self._run = run = ScanRun(self._backend, layers, data, self._clock)
            try:
                run.work_on(first)
                self.throttle.pause()
                run.run(is_out_of_time, self.throttle.pause)
            finally:
                self._run = None
                report.counts.update(run.counts)
