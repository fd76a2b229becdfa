"""Collection of garbage by a server itself, on-premises: a thread beside those that serve.

Where several servers share a folder each has such a thread. The job's lease lets one work at a time, and a collection
costs as much as there is garbage: the others find none.
"""

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Self

from lading_storage.errors import StoreFull

if TYPE_CHECKING:
    # A start must not wait for what the first collection imports.
    from lading.jobs.gc.collect import Collector
    from lading.jobs.runner import JobReport

PAUSE_RATIO: Final = 9.0
"""Seconds of pause for each second of work: what is served beside it has nine tenths of the time."""

TIME_SLICE: Final = timedelta(seconds=30)
"""How long the lease is held at a time."""

FIRST_DELAY: Final = 300.0
"""Seconds from a start to its first collection, unless the interval is shorter: clients that come back go first."""

STOP_TIMEOUT: Final = 8.0
"""Seconds that a server which is told to end waits for a step of a collection."""

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
            make_collector: makes a collector, by the settings as they are then.
            reserve: a block in which a full disk has the space that is kept for a collection.
            on_report: is told what each slice did.
        """
        self._interval = interval.total_seconds()
        self._make_collector = make_collector
        self._reserve = reserve
        self._on_report = on_report
        self._stopping = threading.Event()
        self._collector: Collector | None = None
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End after the step that is being taken. What is left, the next collection finds."""
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
                # A store that is down, policies with a mistake, a defect: none may end what comes later.
                log.error("collection failed, and is tried again in %.0f s: %s", delay, error)
                log.debug("collection failed", exc_info=True)

    def _collect(self) -> None:
        """Collect to the end, unless another process does."""
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
