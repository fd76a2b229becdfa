"""What Cloud Scheduler calls: HTTP to the jobs, and back. A function of its own, which starts and ends by itself."""

import logging

from werkzeug.wrappers import Request

from functions import logs, settings
from functions.api import answers
from functions.api.answers import Response
from functions.auth import scheduler
from functions.auth.google import GoogleClient
from functions.auth.id_tokens import IdTokens
from functions.composition import open_collector
from functions.registry.errors import UNAVAILABLE, UNSUPPORTED, RegistryError
from storage.errors import StorageError


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
        return answers.error_response(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: collection")
        return answers.error_response(RegistryError(UNAVAILABLE))
    if report is None:
        return answers.json_response({"busy": True})
    logs.log_collection(report.as_json())
    return answers.json_response(report.as_json())
