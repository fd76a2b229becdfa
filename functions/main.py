"""The entry points of the Cloud Functions, by the names that Terraform gives them.

    registry   the registry over HTTP
    collect    a slice of the collection of garbage, when Cloud Scheduler calls

The buildpack starts `functions-framework` whatever a Procfile says, and its server speaks only HTTP/1, where Cloud Run
ends a request at 32 MiB. But it imports this file before it makes a server; so in Cloud Run this file puts Envoy and
`lading serve` in its place (envoy_supervisor). On a developer's machine it stays as it is.

What the server imports again is imported here only where this file stays: a cold start must not pay for it twice.
"""

import os
import sys
from functools import cache
from typing import TYPE_CHECKING

import functions_framework
from flask import Request
from werkzeug import wrappers

if TYPE_CHECKING:
    from lading.app import App
    from lading.http.responses import Response


@cache
def _app() -> "App":
    from lading import logs, settings
    from lading.composition import create

    read = settings.load_settings()
    logs.start(read.log, read.project, read.log_level)
    return create(read)


@functions_framework.http
def registry(request: Request) -> wrappers.Response:
    """The registry, as `functions-framework --target registry` serves it: the very same app."""
    from lading.app import request_of
    from lading.http import responses
    from lading.registry.errors import DENIED, RegistryError

    if not _is_public(request):
        refusal = RegistryError(DENIED, "with LADING_ACCESS=everybody only this machine is answered")
        return _as_flask_response(responses.error_response(refusal))
    return _as_flask_response(_app().respond(request_of(request.environ)))


@functions_framework.http
def collect(request: Request) -> wrappers.Response:
    """A slice of the collection of garbage."""
    from lading import scheduled

    answer = scheduled.collect(request)
    return wrappers.Response(b"".join(answer), answer.status, answer.headers)


def _as_flask_response(response: "Response") -> wrappers.Response:
    """Return a response as a stream: before any other one, the framework reads the rest of a body into memory."""
    return wrappers.Response(response, response.status, response.headers)


def _is_public(request: Request) -> bool:
    """Whether the caller is on this machine, or the registry is not one that is open to all who are.

    The framework listens on all addresses, so what `lading serve` checks once is checked here for each request.
    """
    from lading import settings

    # Read first: it refuses such a registry behind a proxy, whose address may well be loopback.
    return settings.load_settings().access != "everybody" or settings.is_loopback(request.remote_addr or "")


def _replace_framework() -> None:
    """Replace this process by the supervisor of Envoy and `lading serve`, which listens on $PORT."""
    os.execv(sys.executable, [sys.executable, "-m", "lading.server.envoy_supervisor"])  # noqa: S606  # no shell is wanted


if os.environ.get("K_SERVICE") and os.environ.get("FUNCTION_TARGET") == "registry":
    _replace_framework()
