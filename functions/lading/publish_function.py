"""The HTTP endpoint of the function `publish`: called by Cloud Scheduler as a sweep, and by Eventarc for each event.

Eventarc's request is only a wake-up: at least once, in any order, for one day at most. Of it, only the id of the
document is read, which names the range of the outbox to begin with. The outbox is the truth, and the sweep publishes
what no wake-up has.

https://cloud.google.com/eventarc/docs/run/route-trigger-cloud-firestore, and for the headers of its CloudEvents
https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md#31-binary-content-mode
"""

import re
import threading
from functools import cache
from typing import Any, Final

from werkzeug.wrappers import Request

from lading import function_call, logs, settings
from lading.composition import open_metadata
from lading.events.publish_report import PublishReport
from lading.events.publish_runs import PublishRuns
from lading.http.responses import Response
from lading.publisher_composition import open_publisher
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.settings import Settings
from lading.webhook_composition import open_delivery_run

EVENT_DOCUMENT: Final = re.compile(r"(?:documents/)?events/([0-9a-f])-[0-9a-z-]{1,80}")

_opening: Final = threading.Lock()
"""Held while the runs of the process are made: the first two calls come at once, and would publish everything twice."""


def respond(request: Request) -> Response:
    """Publish what waits (POST), and return the report, which is also logged.

    Only the service account of LADING_PUBLISHER may call it. The response is 503 where a store is down, and to a sweep
    also where a sink is: an alert notices that. Eventarc would repeat the requests of all events for a day.
    """
    document = request.headers.get("ce-document") or request.headers.get("ce-subject") or ""

    def run(_: Settings) -> dict[str, Any]:
        report = _run(document)
        if report:
            logs.log_publication(report.as_json(), always=not document)
        if report and report.down and not document:
            raise RegistryError(UNAVAILABLE, {"down": report.down})
        return report.as_json() if report else {}

    return function_call.respond(request, "publish", lambda config: config.publisher, run, "LADING_PUBLISHER")


def _run(document: str) -> PublishReport | None:
    """Run for a call of Eventarc, which names the document of an event, or else for a sweep."""
    with _opening:
        runs = _runs()
    if not document:
        return runs.run()
    found = EVENT_DOCUMENT.fullmatch(document)
    return runs.wake_up(found[1] if found else "")


@cache
def _runs() -> PublishRuns:
    """Return the runs of this process, whose publisher remembers the sinks that are down, and its connections."""
    config: Settings = settings.load_settings()
    metadata = open_metadata(config.metadata)
    return PublishRuns(open_publisher(config, metadata), open_delivery_run(config, metadata).run)
