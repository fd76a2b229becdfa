"""The HTTP endpoints of scheduled jobs, called by Cloud Scheduler. Each is a function with a lifecycle of its own."""

from typing import Any

from werkzeug.wrappers import Request

from lading import function_call
from lading.composition import open_metadata, open_registry
from lading.http.responses import Response
from lading.job_table import JobRow
from lading.settings import Settings


def run_slice(job: JobRow, request: Request) -> Response:
    """Run a slice of a job (POST) and return its report, which is also logged.

    Only the service account that the job names may call it. While another process runs the job, the response is 200
    with `busy`, so that the scheduler does not retry.
    """

    def run(config: Settings) -> dict[str, Any]:
        report = job.open(config, open_registry(config, open_metadata(config.metadata))).run()
        if report is None:
            return {"busy": True}
        job.log(report.as_json())
        return report.as_json()

    return function_call.respond(request, job.name, job.caller, run)
