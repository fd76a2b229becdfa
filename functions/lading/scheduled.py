"""What Cloud Scheduler calls: HTTP to the jobs, and back. A function of its own, which starts and ends by itself."""

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
    """A slice of the collection of garbage (POST): answers its report, and logs it. For the settings' collector alone.

    Where another collection is at work, the answer says so: nothing is wrong, and the scheduler need not come again.
    """
    read = settings.load_settings()
    logs.start(read.log, read.project, read.log_level)
    try:
        scheduler.check(request.headers.get("Authorization", ""), read.collector, IdTokens(GoogleClient(), read.realm))
        if request.method != "POST":
            raise RegistryError(UNSUPPORTED)
        report = open_collector(read).run()
    except RegistryError as error:
        return responses.error_response(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: collection")
        return responses.error_response(RegistryError(UNAVAILABLE))
    if report is None:
        return responses.json_response({"busy": True})
    logs.log_collection(report.as_json())
    return responses.json_response(report.as_json())
