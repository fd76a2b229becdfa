"""StoreReadings: what waits in the metadata store, and the space on disks, read when a scrape asks for it.

A scrape must not wait for a store that is down, nor may many scrapes read it: a thread reads at most once in an
interval, and a scrape waits for it a moment only, and shows the last readings until there are new ones.
"""

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lading.events.status import EventsStatus
from lading.metrics import metric_rows as rows
from lading.metrics.metric_rows import MetricRow

INTERVAL: Final = 5.0
CLOUD_INTERVAL: Final = 60.0
"""Seconds between two readings, of a file and of Firestore, where each query has a price."""

WAIT: Final = 0.5
"""Seconds that a scrape waits for a reading that has begun."""

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read.

    Attributes:
        at: the time.
        events: what waits.
        disks: the size of the disk of each store in a folder, and its free bytes.
    """

    at: datetime
    events: EventsStatus
    disks: Mapping[str, tuple[int, int]]


class StoreReadings(Collector):
    """The metrics that are read from the stores. Thread-safe."""

    def __init__(self, read: Callable[[], EventsStatus], folders: Mapping[str, Path], interval: float) -> None:
        """Read by `read`, and the disks of `folders`, by the name of the store; at most once in `interval` seconds."""
        self._read = read
        self._folders = folders
        self._interval = interval
        self._latest: Reading | None = None
        self._thread: threading.Thread | None = None
        self._began = -interval
        self._lock = threading.Lock()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics of the latest reading; without one, none."""
        self._refresh().join(WAIT)
        reading = self._latest
        if reading is None:
            return
        events = reading.events
        oldest = (datetime.now(UTC) - events.oldest).total_seconds() if events.oldest else 0.0
        yield _gauge(rows.EVENTS_WAITING, {(): events.waiting})
        yield _gauge(rows.EVENTS_OLDEST, {(): max(0.0, oldest)})
        yield _gauge(rows.STALLED, {(): len(events.stalled)})
        yield _gauge(rows.DELIVERIES, {(state,): count for state, count in events.deliveries.items()})
        yield _gauge(rows.DISK_SIZE, {(store,): size for store, (size, _) in reading.disks.items()})
        yield _gauge(rows.DISK_FREE, {(store,): free for store, (_, free) in reading.disks.items()})
        yield _gauge(rows.STORES_READ, {(): reading.at.timestamp()})

    def _refresh(self) -> threading.Thread:
        """Return the thread of the current reading, or of the last one where it is recent."""
        with self._lock:
            running = self._thread is not None and self._thread.is_alive()
            if self._thread is None or (not running and time.monotonic() >= self._began + self._interval):
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._run, name="metrics-stores", daemon=True)
                self._thread.start()
            return self._thread

    def _run(self) -> None:
        try:
            disks = {store: shutil.disk_usage(folder) for store, folder in self._folders.items()}
            self._latest = Reading(
                datetime.now(UTC), self._read(), {store: (disk.total, disk.free) for store, disk in disks.items()}
            )
        except Exception as error:
            # The timestamp of the reading shows that it is old.
            log.warning("the stores could not be read for metrics: %s", error)


def _gauge(row: MetricRow, values: Mapping[tuple[str, ...], float]) -> Metric:
    family = GaugeMetricFamily(row.name, row.help, labels=row.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family
