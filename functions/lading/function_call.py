"""A call of a function by Google Cloud: by Cloud Scheduler, by Eventarc or by Pub/Sub.

    settings ──▶ log ──▶ who calls ──▶ POST? ──▶ run ──▶ report as JSON
                            401, 403      405      503: the caller repeats the call

What all functions but the registry share. A function has only `run`, which logs its own report and failures.
"""

import logging
from collections.abc import Callable
from typing import Any

from werkzeug.wrappers import Request

from lading import logs, settings
from lading.auth.google import scheduler
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.http import responses
from lading.http.responses import Response
from lading.registry.errors import UNAVAILABLE, UNSUPPORTED, RegistryError
from lading.settings import Settings
from lading_storage.errors import StorageError


def respond(
    request: Request,
    name: str,
    account: Callable[[Settings], str],
    run: Callable[[Settings], dict[str, Any]],
    variable: str = "LADING_COLLECTOR",
) -> Response:
    """Authenticate a call, run the function, and return its report.

    Args:
        request: the call.
        name: of the function, for the log.
        account: returns the e-mail address of the only service account that may call it.
        run: does the work of one call, and returns the report. RegistryError and StorageError, which it may raise,
            are the response; a failed store is logged.
        variable: the setting that names the account, for the response to any other.
    """
    config = settings.load_settings()
    logs.start(config.log, config.project, config.log_level)
    try:
        ids = IdTokens(GoogleClient(), config.realm)
        scheduler.check(request.headers.get("Authorization", ""), account(config), ids, variable)
        if request.method != "POST":
            raise RegistryError(UNSUPPORTED)
        report = run(config)
    except RegistryError as error:
        return responses.error_response(error)
    except StorageError:
        logging.getLogger("lading").exception("a store failed: the function %s", name)
        return responses.error_response(RegistryError(UNAVAILABLE))
    return responses.json_response(report)
