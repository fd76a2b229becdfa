"""A job that an on-premises server runs by itself, in a thread beside those that serve requests.

If several servers share a data folder, each has such a thread. The job's lease lets one of them work at a time, and the
cost of a job grows with what there is to do: the others find nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol, Self

from lading_storage.errors import StoreFull

if TYPE_CHECKING:
    # Startup must not wait for what the first run imports.
    from lading.jobs.job_report import JobReport
    from lading.jobs.throttle import Throttle

PAUSE_RATIO: Final = 9.0
"""Seconds of pause for each second of work: requests have nine tenths of the time."""

TIME_SLICE: Final = timedelta(seconds=30)
"""Maximum time for which the lease is held without a break."""

FIRST_DELAY: Final = 300.0
"""Seconds from startup to the first run, unless the interval is shorter: clients that reconnect go first."""

MAX_FAILURE_DELAY: Final = 60.0
"""Seconds from a failure to the next run, at most, unless the interval is longer. Each failure in a row doubles it."""

STOP_TIMEOUT: Final = 8.0
"""Seconds that a server that shuts down waits for the current step of a job."""

log = logging.getLogger("lading")


class SlicedJob(Protocol):
    """A job that runs in slices: see lading.jobs.runner.ResumableJob."""

    throttle: "Throttle"

    def run(self, limit: timedelta = ...) -> "JobReport | None":
        """Run one slice; return what was done, or None if another process holds the lease."""

    def stop(self) -> None:
        """Make a slice that runs in another thread end after its current step."""


class BackgroundJob:
    """Runs a job at an interval for as long as a `with` block lasts."""

    def __init__(
        self,
        name: str,
        interval: timedelta,
        make_job: Callable[[], SlicedJob],
        reserve: Callable[[], AbstractContextManager[None]],
        on_report: Callable[["JobReport"], None],
    ) -> None:
        """Run a job every `interval`.

        Args:
            name: of the thread, and in the log.
            interval: from the end of a run to the next one.
            make_job: returns the job with the settings at the time of the call.
            reserve: a context manager that releases the disk space reserved for a collection (lading.jobs.gc.reserve).
            on_report: called with the report of each slice.
        """
        self._name = name
        self._interval = interval.total_seconds()
        self._make_job = make_job
        self._reserve = reserve
        self._on_report = on_report
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._job: SlicedJob | None = None
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop after the current step. The next run does the rest."""
        self.request_stop()
        self._thread.join(max(0.0, self._stop_by - time.monotonic()))

    def request_stop(self) -> None:
        """Make the thread end after the current step, without waiting for it: several jobs end at the same time."""
        if not self._stopping.is_set():
            self._stop_by = time.monotonic() + STOP_TIMEOUT
        self._stopping.set()
        if self._job:
            self._job.stop()

    def _repeat(self) -> None:
        delay, failures = min(self._interval, FIRST_DELAY), 0
        while not self._stopping.wait(delay):
            delay = self._interval
            try:
                self._run()
                failures = 0
            except Exception as error:
                delay = max(delay, min(delay * 2**failures, MAX_FAILURE_DELAY))
                failures = min(failures + 1, 10)
                # A store that is down, an invalid policy, a defect: none of them may prevent later runs.
                log.error("the job %s failed; the next attempt is in %.0f s: %s", self._name, delay, error)
                log.debug("the job %s failed", self._name, exc_info=True)

    def _run(self) -> None:
        """Run slices until the job is finished, unless another process holds the lease."""
        self._job = job = self._make_job()
        job.throttle.pause_ratio = PAUSE_RATIO
        finished = False
        while not finished and not self._stopping.is_set():
            report = self._run_slice(job)
            if report is None:
                return
            self._on_report(report)
            finished = report.finished

    def _run_slice(self, job: SlicedJob) -> "JobReport | None":
        try:
            return job.run(TIME_SLICE)
        except StoreFull:
            with self._reserve():
                return job.run(TIME_SLICE)
