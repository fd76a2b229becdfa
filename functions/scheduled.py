"""What Cloud Scheduler calls: HTTP to the jobs, and back. A function of its own, which starts and ends by itself."""

import logging

from werkzeug.wrappers import Request

from functions import logs, settings
from functions.api import answers
from functions.api.answers import Answer
from functions.auth import scheduler
from functions.auth.google import Google
from functions.auth.id_tokens import IdTokens
from functions.composition import open_collector
from functions.registry.errors import UNAVAILABLE, UNSUPPORTED, RegistryError
from storage.errors import StorageError


def collect(request: Request) -> Answer:
    """A slice of the collection of garbage (POST): answers its report, and logs it. For the settings' collector alone.

    Where another collection is at work, the answer says so: nothing is wrong, and the scheduler need not come again.
    """
    read = settings.read()
    logs.start(read.log, read.project, read.log_level)
    try:
        scheduler.check(request.headers.get("Authorization", ""), read.collector, IdTokens(Google(), read.realm))
        if request.method != "POST":
            raise RegistryError(UNSUPPORTED)
        report = open_collector(read).run()
    except RegistryError as error:
        return answers.error(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: collection")
        return answers.error(RegistryError(UNAVAILABLE))
    if report is None:
        return answers.as_json({"busy": True})
    logs.collected(report.as_json())
    return answers.as_json(report.as_json())
