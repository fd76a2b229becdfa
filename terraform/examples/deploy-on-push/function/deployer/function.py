"""The function: an HTTP endpoint to which Pub/Sub pushes events, with a token that Cloud Run checks.

It responds with 204 if all is done or there is nothing to do, also for a message that is not valid, which is logged. It
responds with 500 if a target failed: Pub/Sub delivers the message again, and after some attempts to the dead letters.
"""

import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import functions_framework
from flask import Request

from deployer.events import InvalidMessageError, TagMoved, event_of
from deployer.google_api import ENDPOINTS, GoogleApi, connect
from deployer.rules import Rules, parse
from deployer.run import Deployment, run

RULES_FILE: Final = "rules.json"
"""Beside main.py, in the working directory of the function."""

ENDPOINT_VARIABLE: Final = "CLOUDSDK_API_ENDPOINT_OVERRIDES_"
"""Prefix of the environment variables by which gcloud, too, is directed to other endpoints."""


@cache
def _rules() -> Rules:
    return parse(Path(os.environ.get("RULES", RULES_FILE)).read_text())


@cache
def _api() -> GoogleApi:
    variables = {name: os.environ.get(f"{ENDPOINT_VARIABLE}{name.upper()}", "") for name in ENDPOINTS}
    return connect({name: value.rstrip("/") for name, value in variables.items() if value})


@functions_framework.http
def deploy(request: Request) -> tuple[str, int]:
    """Deploy the event of a push request."""
    if request.method != "POST":
        return "", 405
    try:
        event = event_of(request.get_data())
    except InvalidMessageError as error:
        _log("ERROR", f"message dropped: {error}")
        return "", 204
    if event is None:
        return "", 204
    if not _rules().knows(event.host):
        _log("WARNING", f"{event.repository}:{event.tag} is not deployed: {event.host} is not in the rules' `hosts`")
        return "", 204
    deployments = run(_api(), _rules(), event)
    for each in deployments:
        _log_deployment(event, each)
    return "", 500 if any(each.outcome is None for each in deployments) else 204


def _log_deployment(event: TagMoved, deployment: Deployment) -> None:
    values = {"event": event.id, "target": vars(deployment.target), "image": deployment.image}
    name = f"{event.repository}:{event.tag}"
    if deployment.outcome is None:
        # A permanent error is retried as well: what a rule lacks may be created before the attempts are used up.
        severity = "ERROR" if deployment.permanent else "WARNING"
        _log(severity, f"{name} is not deployed: {deployment.error}", values)
    else:
        _log("INFO", f"{name}: {deployment.outcome}", values)


def _log(severity: str, message: str, values: Mapping[str, Any] | None = None) -> None:
    """Write a line that Cloud Logging parses (https://cloud.google.com/run/docs/logging#using-json)."""
    sys.stdout.write(json.dumps({"severity": severity, "message": message, **(values or {})}) + "\n")
    sys.stdout.flush()


if os.environ.get("K_SERVICE"):
    # A revision whose rules are not valid must not become ready.
    _rules()
