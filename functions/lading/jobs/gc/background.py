"""Background garbage collection by an on-premises server, in a thread beside those that serve requests.

If several servers share a data folder, each has such a thread. The job's lease lets one of them work at a time, and the
cost of a collection grows with the garbage: the others find none.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from lading_storage.errors import StoreFull

if TYPE_CHECKING:
    # Startup must not wait for what the first collection imports.
    from lading.jobs.gc.collect import Collector
    from lading.jobs.job_report import JobReport

PAUSE_RATIO: Final = 9.0
"""Seconds of pause for each second of work: requests have nine tenths of the time."""

TIME_SLICE: Final = timedelta(seconds=30)
"""Maximum time for which the lease is held without a break."""

FIRST_DELAY: Final = 300.0
"""Seconds from startup to the first collection, unless the interval is shorter: clients that reconnect go first."""

STOP_TIMEOUT: Final = 8.0
"""Seconds that a server that shuts down waits for the current step of a collection."""

log = logging.getLogger("lading")


class BackgroundCollection:
    """Collects at an interval for as long as a `with` block lasts."""

    def __init__(
        self,
        interval: timedelta,
        make_collector: Callable[[], "Collector"],
        reserve: Callable[[], AbstractContextManager[None]],
        on_report: Callable[["JobReport"], None],
    ) -> None:
        """Collect every `interval`.

        Args:
            interval: from the end of a collection to the next one.
            make_collector: returns a collector with the settings at the time of the call.
            reserve: a context manager that releases the disk space reserved for a collection (lading.jobs.gc.reserve).
            on_report: called with the report of each slice.
        """
        self._interval = interval.total_seconds()
        self._make_collector = make_collector
        self._reserve = reserve
        self._on_report = on_report
        self._stopping = threading.Event()
        self._collector: Collector | None = None
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop after the current step. The next collection does the rest."""
        self._stopping.set()
        if self._collector:
            self._collector.stop()
        self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        delay = min(self._interval, FIRST_DELAY)
        while not self._stopping.wait(delay):
            delay = self._interval
            try:
                self._collect()
            except Exception as error:
                # A store that is down, an invalid policy, a defect: none of them may prevent later collections.
                log.error("collection failed; the next attempt is in %.0f s: %s", delay, error)
                log.debug("collection failed", exc_info=True)

    def _collect(self) -> None:
        """Run slices until a collection is finished, unless another process holds the lease."""
        self._collector = collector = self._make_collector()
        collector.throttle.pause_ratio = PAUSE_RATIO
        finished = False
        while not finished and not self._stopping.is_set():
            report = self._run_slice(collector)
            if report is None:
                return
            self._on_report(report)
            finished = report.finished

    def _run_slice(self, collector: "Collector") -> "JobReport | None":
        try:
            return collector.run(TIME_SLICE)
        except StoreFull:
            with self._reserve():
                return collector.run(TIME_SLICE)
