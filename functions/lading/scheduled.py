"""The HTTP endpoint of scheduled jobs, called by Cloud Scheduler. A separate function with a lifecycle of its own."""

import logging

from werkzeug.wrappers import Request

from lading import logs, settings
from lading.auth.google import scheduler
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.composition import open_collector
from lading.http import responses
from lading.http.responses import Response
from lading.registry.errors import UNAVAILABLE, UNSUPPORTED, RegistryError
from lading_storage.errors import StorageError


def collect(request: Request) -> Response:
    """Run a slice of garbage collection (POST) and return its report, which is also logged.

    Only the principal in the setting `collector` may call it. While another collection runs, the response is 200 with
    `busy`, so that the scheduler does not retry.
    """
    config = settings.load_settings()
    logs.start(config.log, config.project, config.log_level)
    try:
        scheduler.check(
            request.headers.get("Authorization", ""), config.collector, IdTokens(GoogleClient(), config.realm)
        )
        if request.method != "POST":
            raise RegistryError(UNSUPPORTED)
        report = open_collector(config).run()
    except RegistryError as error:
        return responses.error_response(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: collection")
        return responses.error_response(RegistryError(UNAVAILABLE))
    if report is None:
        return responses.json_response({"busy": True})
    logs.log_collection(report.as_json())
    return responses.json_response(report.as_json())
