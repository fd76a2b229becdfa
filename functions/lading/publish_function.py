"""The HTTP endpoint of the function `publish`: called by Cloud Scheduler as a sweep, and by Eventarc for each event.

Eventarc's request is only a wake-up: at least once, in any order, for one day at most. Of it, only the id of the
document is read, which names the range of the outbox to begin with. The outbox is the truth, and the sweep publishes
what no wake-up has.

https://cloud.google.com/eventarc/docs/run/route-trigger-cloud-firestore, and for the headers of its CloudEvents
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
"""

import logging
import re
import threading
from datetime import timedelta
from functools import cache
from typing import Final

from werkzeug.wrappers import Request

from lading import logs, settings
from lading.auth.google import scheduler
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.composition import open_metadata
from lading.events.publish_report import PublishReport
from lading.events.publisher import Publisher
from lading.http import responses
from lading.http.responses import Response
from lading.publisher_composition import open_publisher
from lading.registry.errors import UNAVAILABLE, UNSUPPORTED, RegistryError
from lading.settings import Settings
from lading_storage.errors import StorageError

WAKE_UP_LIMIT: Final = timedelta(seconds=8)
"""Time of a run for Eventarc, which repeats a request that takes longer than 10 seconds."""

SWEEP_LIMIT: Final = timedelta(minutes=4)
"""Time of a run for Cloud Scheduler. Its deadline, and the function's, is five minutes."""

EVENT_DOCUMENT: Final = re.compile(r"(?:documents/)?events/([0-9a-f])-[0-9a-z-]{1,80}")

_running: Final = threading.Lock()
"""Held during a run: concurrent runs of one process would only publish duplicates."""


def respond(request: Request) -> Response:
    """Publish what waits (POST), and return the report, which is also logged.

    Only the service account of LADING_PUBLISHER may call it. Where a store or a sink is down, the response is 503, so
    that the caller repeats its request.
    """
    config = settings.load_settings()
    logs.start(config.log, config.project, config.log_level)
    try:
        scheduler.check(
            request.headers.get("Authorization", ""),
            config.publisher,
            IdTokens(GoogleClient(), config.realm),
            "LADING_PUBLISHER",
        )
        if request.method != "POST":
            raise RegistryError(UNSUPPORTED)
        report = _run(request)
        if report.down:
            raise RegistryError(UNAVAILABLE, {"down": report.down})
    except RegistryError as error:
        return responses.error_response(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: the job publish")
        return responses.error_response(RegistryError(UNAVAILABLE))
    return responses.json_response(report.as_json())


def _run(request: Request) -> PublishReport:
    """Publish, one run at a time. Raises UNAVAILABLE if another run takes too long, and StorageError."""
    document = request.headers.get("ce-document") or request.headers.get("ce-subject") or ""
    limit = WAKE_UP_LIMIT if document else SWEEP_LIMIT
    found = EVENT_DOCUMENT.fullmatch(document)
    if not _running.acquire(timeout=limit.total_seconds()):
        raise RegistryError(UNAVAILABLE)
    try:
        report = _publisher().run(limit, found[1] if found else "")
    finally:
        _running.release()
    logs.log_publication(report.as_json(), always=not document)
    return report


@cache
def _publisher() -> Publisher:
    """Return the publisher of this process, which remembers the sinks that are down, and its connections."""
    config: Settings = settings.load_settings()
    return open_publisher(config, open_metadata(config.metadata))
