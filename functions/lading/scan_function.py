"""The HTTP endpoint of the function `scan`: called by Cloud Scheduler as a sweep, and by Eventarc for each new image.

Eventarc's request is only a wake-up, of which nothing is read: the registry knows which images are due. So a call that
is lost, or that is delivered twice, changes nothing but when an image is scanned.

The function has no rights to any store. It works over HTTP as the account of LADING_SCANNER (lading.api.scanner).
"""

import logging
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from werkzeug.wrappers import Request

from lading import function_call, logs, settings
from lading.auth.google.own_identity import OwnIdentity
from lading.http.responses import Response
from lading.jobs.vulnerability_updates import VulnerabilityUpdateJob
from lading.registry.change_context import now
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.scanner.http_backend import HttpArtifacts, HttpBackend
from lading.scanner.registry_client import RegistryClient, RegistryUnreachable
from lading.scanner.scan_job import ScanJob
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.vulnerabilities.download import Update

TIME_SLICE: Final = timedelta(minutes=5)
"""Time after which no further image is claimed. The last one takes ten minutes at most."""

DATA_INTERVAL: Final = 1800.0
"""Seconds between two looks at the age of the data, where no image was scanned meanwhile."""

FOLDER: Final = Path(tempfile.gettempdir()) / "lading-vulnerabilities"
"""Local copies of the data. The disk of a function is part of its memory."""

_running: Final = threading.Lock()


def respond(request: Request) -> Response:
    """Scan what is due (POST), bring the data up to date, and return the report, which is also logged.

    Only the service account of LADING_COLLECTOR may call it, which calls all jobs. The response is 503 where the
    registry cannot be reached; Eventarc repeats such a call for a day.
    """
    return function_call.respond(request, "scan", lambda config: config.collector, _run)


def _run(_: Settings) -> dict[str, Any]:
    """Run for a call. Raises RegistryError."""
    try:
        with _running:
            return _scanner().run()
    except RegistryUnreachable as error:
        logging.getLogger("lading").error("the registry failed: %s", error)
        raise RegistryError(UNAVAILABLE) from None


class Scanner:
    """The scanner of a process, which keeps its connections, and copies of the data."""

    def __init__(self, config: Settings) -> None:
        """Scan for the registry at `config.url`."""
        self._source = config.vulnerability_source
        self._client = RegistryClient(config.realm, OwnIdentity(config.realm).token)
        self._artifacts = HttpArtifacts(self._client)
        self._data_checked = -DATA_INTERVAL

    def run(self) -> dict[str, Any]:
        """Scan what is due, and update data; return the report, which is logged. Raises RegistryUnreachable."""
        report = self._job.run(TIME_SLICE).as_json()
        logs.log_scans(report)
        if report["scans"] or time.monotonic() - self._data_checked >= DATA_INTERVAL:
            updates = self._updates.run(TIME_SLICE).as_json() if self._source else {"data": {}}
            self._data_checked = time.monotonic()
            logs.log_data_updates(updates)
            report |= updates
        return report

    @cached_property
    def _job(self) -> ScanJob:
        return ScanJob(HttpBackend(self._client), self._open_data, now)

    def _open_data(self) -> Any:
        from lading.scanner.database_files import DatabaseFiles

        self._artifacts.refresh()
        return DatabaseFiles(self._artifacts, FOLDER)

    @cached_property
    def _updates(self) -> VulnerabilityUpdateJob:
        return VulnerabilityUpdateJob(self._artifacts, self._download, now)

    def _download(self, etags: Mapping[str, str], folder: Path) -> "Iterable[Update]":
        from lading.vulnerabilities.download import update

        return update(self._source, etags, folder)


@cache
def _scanner() -> Scanner:
    return Scanner(settings.load_settings())
