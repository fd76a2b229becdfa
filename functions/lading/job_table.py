"""The jobs of a registry, a row each, as routes and settings are.

A row is all that a new job needs beside its own module: `lading serve` runs every row in a background thread where the
stores are on this machine, and in the cloud Cloud Scheduler calls a function for it (lading.scheduled).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from lading import logs
from lading.registry.registry import Registry
from lading.scan_composition import scans_images, updates_data
from lading.settings import Settings

if TYPE_CHECKING:
    # Startup must not wait for what the first run of a job imports.
    from lading.jobs.background import SlicedJob


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job that runs at intervals.

    Attributes:
        name: the name of its record, of its thread and of its function.
        open: returns the job on an open registry, with the settings at the time of the call. Raises SettingsError.
        interval: how long `lading serve` waits between two runs; None where it does not run the job.
        caller: the service account that may call its function.
        log: logs the JSON of a slice's report, as a line for log-based metrics.
        opened_once: whether `lading serve` opens it once for all runs, instead of for each one with the clean-up
            policies of that time.
    """

    name: str
    open: "Callable[[Settings, Registry], SlicedJob]"
    interval: Callable[[Settings], timedelta | None]
    caller: Callable[[Settings], str]
    log: Callable[[dict[str, Any]], None]
    opened_once: bool = False


def _open_collector(settings: Settings, registry: Registry) -> "SlicedJob":
    from lading.composition import collector_of

    return collector_of(settings, registry)


def _open_publisher(settings: Settings, registry: Registry) -> "SlicedJob":
    from lading.publisher_composition import open_publisher

    return open_publisher(settings, registry.metadata)


def _open_deliveries(settings: Settings, registry: Registry) -> "SlicedJob":
    from lading.webhook_composition import open_delivery_job

    return open_delivery_job(settings, registry.metadata)


def _open_scans(settings: Settings, registry: Registry) -> "SlicedJob":
    from lading.scan_composition import open_scan_job

    return open_scan_job(settings, registry)


def _open_updates(settings: Settings, registry: Registry) -> "SlicedJob":
    from lading.scan_composition import open_update_job

    return open_update_job(settings, registry)


PUBLISH_INTERVAL: Final = timedelta(seconds=1)
"""Where nothing waits, a run is one small query: 17 µs of CPU time with SQLite."""

SCAN_INTERVAL: Final = timedelta(seconds=1)
"""Where nothing is due, a run is one query as well."""

UPDATE_INTERVAL: Final = timedelta(minutes=1)
"""Where no data is due, a run is one query as well: each source is asked once a day."""

COLLECT: Final = JobRow(
    "collect",
    open=_open_collector,
    interval=lambda settings: settings.collect_every,
    caller=lambda settings: settings.collector,
    log=logs.log_collection,
)

PUBLISH: Final = JobRow(
    "publish",
    open=_open_publisher,
    interval=lambda settings: PUBLISH_INTERVAL,
    caller=lambda settings: settings.publisher,
    log=logs.log_publication,
    opened_once=True,
)

DELIVER: Final = JobRow(
    "deliver",
    open=_open_deliveries,
    interval=lambda settings: PUBLISH_INTERVAL,
    caller=lambda settings: settings.publisher,
    log=logs.log_deliveries,
    opened_once=True,
)
"""A job of its own, so that slow endpoints do not hold up events. In the cloud, the function `publish` delivers."""

SCAN: Final = JobRow(
    "scan",
    open=_open_scans,
    interval=lambda settings: SCAN_INTERVAL if scans_images(settings) else None,
    caller=lambda settings: "",
    log=logs.log_scans,
    opened_once=True,
)
"""In the cloud, the function `scan` has no stores, and works over HTTP."""

UPDATE_DATA: Final = JobRow(
    "vulnerabilities",
    open=_open_updates,
    interval=lambda settings: UPDATE_INTERVAL if updates_data(settings) else None,
    caller=lambda settings: "",
    log=logs.log_data_updates,
    opened_once=True,
)

JOBS: Final = (COLLECT, PUBLISH, DELIVER, SCAN, UPDATE_DATA)
