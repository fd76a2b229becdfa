"""The entry points of the Cloud Functions, named as in the Terraform module.

    registry   the registry over HTTP
    collect    a slice of garbage collection, called by Cloud Scheduler
    publish    publication of events, called by Cloud Scheduler, and by Eventarc for each event
    scan       scans of images, called by Cloud Scheduler, and by Eventarc for each new image
    attest     attestations of images that pass, called by Cloud Scheduler, and by Pub/Sub for each event

The buildpack starts `functions-framework` regardless of a Procfile, and its server speaks only HTTP/1, with which Cloud
Run limits requests to 32 MiB. But it imports this file before it creates a server, so in Cloud Run this file replaces
the process by Envoy and `lading serve` (envoy_supervisor). Where LADING_ADDRESS is set, Envoy is a container of its own
(a sidecar), and this one only serves. On a developer's machine the framework serves.

Modules that the server imports as well are imported lazily here, so that a cold start does not load them twice.
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

    config = settings.load_settings()
    logs.start(config.log, config.project, config.log_level)
    return create(config)


@functions_framework.http
def registry(request: Request) -> wrappers.Response:
    """Serve the registry for `functions-framework --target registry`, with the same app as `lading serve`."""
    from lading.app import request_of
    from lading.http import responses
    from lading.registry.errors import DENIED, RegistryError

    if not _may_access(request):
        error = RegistryError(DENIED, "with LADING_ACCESS=everybody only clients on this machine are served")
        return _as_flask_response(responses.error_response(error))
    return _as_flask_response(_app().respond(request_of(request.environ)))


@functions_framework.http
def collect(request: Request) -> wrappers.Response:
    """Run a slice of garbage collection."""
    from lading import scheduled
    from lading.job_table import COLLECT

    return _as_whole(scheduled.run_slice(COLLECT, request))


@functions_framework.http
def publish(request: Request) -> wrappers.Response:
    """Publish events."""
    from lading import publish_function

    return _as_whole(publish_function.respond(request))


@functions_framework.http
def scan(request: Request) -> wrappers.Response:
    """Scan images."""
    from lading import scan_function

    return _as_whole(scan_function.respond(request))


@functions_framework.http
def attest(request: Request) -> wrappers.Response:
    """Write attestations."""
    from lading import attest_function

    return _as_whole(attest_function.respond(request))


def _as_whole(response: "Response") -> wrappers.Response:
    """Return a report."""
    return wrappers.Response(b"".join(response), response.status, response.headers)


def _as_flask_response(response: "Response") -> wrappers.Response:
    """Return a streamed response: for any other, the framework first reads the rest of a body into memory."""
    return wrappers.Response(response, response.status, response.headers)


def _may_access(request: Request) -> bool:
    """Return whether the client is on this machine, or the registry has access control.

    The framework listens on all addresses, so what `lading serve` checks once at its start is checked here for each
    request.
    """
    from lading import settings
    from lading.loopback import is_loopback

    # The settings come first: they refuse such a registry behind a proxy, whose address may be loopback.
    return settings.load_settings().access != "everybody" or is_loopback(request.remote_addr or "")


def _replace_framework() -> None:
    """Replace this process by the supervisor, whose Envoy listens on $PORT; or by the server on LADING_ADDRESS."""
    module = ("lading.cli", "serve") if os.environ.get("LADING_ADDRESS") else ("lading.server.envoy_supervisor",)
    os.execv(sys.executable, [sys.executable, "-m", *module])  # noqa: S606  # without a shell


if os.environ.get("K_SERVICE") and os.environ.get("FUNCTION_TARGET") == "registry":
    _replace_framework()
