"""The HTTP endpoints of scheduled jobs, called by Cloud Scheduler. Each is a function with a lifecycle of its own."""

import logging

from werkzeug.wrappers import Request

from lading import logs, settings
from lading.auth.google import scheduler
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.composition import open_metadata, open_registry
from lading.http import responses
from lading.http.responses import Response
from lading.job_table import JobRow
from lading.registry.errors import UNAVAILABLE, UNSUPPORTED, RegistryError
from lading_storage.errors import StorageError


def run_slice(job: JobRow, request: Request) -> Response:
    """Run a slice of a job (POST) and return its report, which is also logged.

    Only the service account that the job names may call it. While another process runs the job, the response is 200
    with `busy`, so that the scheduler does not retry.
    """
    config = settings.load_settings()
    logs.start(config.log, config.project, config.log_level)
    try:
        scheduler.check(
            request.headers.get("Authorization", ""), job.caller(config), IdTokens(GoogleClient(), config.realm)
        )
        if request.method != "POST":
            raise RegistryError(UNSUPPORTED)
        report = job.open(config, open_registry(config, open_metadata(config.metadata))).run()
    except RegistryError as error:
        return responses.error_response(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: the job %s", job.name)
        return responses.error_response(RegistryError(UNAVAILABLE))
    if report is None:
        return responses.json_response({"busy": True})
    job.log(report.as_json())
    return responses.json_response(report.as_json())
