"""The app: a request in, an answer out. The composition root, too: only here are drivers chosen.

WSGI server ──▶ App.__call__ ─┐
functions-framework ──────────┴▶ App.respond ──▶ routes ──▶ api ──▶ registry ──▶ storage
"""

import logging
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import chain
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from werkzeug.wrappers import Request, Response

from functions import routes
from functions.api import answers, uploads
from functions.api.base import Call
from functions.api.bodies import RequestBody
from functions.auth.access import Action, Admission, admit_everybody
from functions.logs import AccessLine
from functions.registry.errors import DENIED, NOT_FOUND, UNAVAILABLE, UNKNOWN, UNSUPPORTED, RegistryError
from functions.registry.names import check_repository
from functions.registry.registry import Registry
from functions.settings import Settings, SettingsError, local_path
from storage.errors import StorageError
from storage.protocols import BlobStore, MetadataStore

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

AT_ONCE: Final = 8
"""Requests without a body that are worked on at a time. More threads would only fight for the interpreter's lock, which
each metadata read gives up: 32 cost three times the CPU that 8 do. Bodies come and go outside of this limit."""

log = logging.getLogger("lading")


class App:
    """The registry over HTTP. Any thread may call it."""

    def __init__(self, registry: Registry, settings: Settings, admit: Admission = admit_everybody) -> None:
        """Serve `registry` to whom `admit` lets in."""
        self.registry = registry
        self._settings = settings
        self._admit = admit
        self._short = BoundedSemaphore(AT_ONCE)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """The app as WSGI servers call it (PEP 3333)."""
        request = Request(environ)
        response = self.respond(request)
        if response.is_streamed:
            return response(environ, start_response)
        # What is in memory goes out as a list, which servers send in one piece.
        headers = response.get_wsgi_headers(environ)
        start_response(response.status, headers.to_wsgi_list())
        response.close()
        return [b"" if request.method == "HEAD" else response.get_data()]

    def respond(self, request: Request) -> Response:
        """Answer one request; whatever goes wrong becomes an answer, too."""
        line = AccessLine(request)
        body = RequestBody(request, self._settings.body_timeout)
        response = self._attempt(request, body, line)
        response.headers["Docker-Distribution-API-Version"] = "registry/2.0"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if body.unread:
            body.drain()
        if body.unread:
            # What is left of it stands where the next request would begin.
            response.headers["Connection"] = "close"
        line.follow(response)
        if not body.close():
            response.headers["Content-Length"] = str(line.sent)
            response.response = chain(response.iter_encoded(), body.until_read())
        return response

    def _attempt(self, request: Request, body: RequestBody, line: AccessLine) -> Response:
        """Let the caller in, and answer. A fault of a store is one that may pass; any other fault is ours."""
        try:
            caller = self._admit(request.headers.get("Authorization", ""))
            line.principal = caller.principal
            return self._answer(Call(request, body, self.registry, caller, self._settings.url))
        except RegistryError as error:
            return answers.error(error)
        except StorageError:
            log.exception("a store failed: %s %s", request.method, quote(request.path))
            return answers.error(RegistryError(UNAVAILABLE))
        except Exception:
            log.exception("a defect: %s %s", request.method, quote(request.path))
            return answers.error(RegistryError(UNKNOWN))

    def _answer(self, call: Call) -> Response:
        """Find the row, check name and access, and let the handler work."""
        request = call.request
        found = routes.match(request.method, request.path)
        if not isinstance(found, routes.Match):
            return _no_such_row(found)
        call = Call(request, call.body, call.registry, call.caller, call.url, found.name, found.last)
        if found.route.action is not Action.NOTHING:
            check_repository(call.name)
            if not call.caller.may(found.route.action, call.name):
                raise RegistryError(DENIED)
        try:
            with nullcontext() if call.body.unread else self._short:
                return found.route.handler(call)
        except RegistryError as error:
            response = answers.error(error)
            uploads.refused(call, error, response)
            return response


def _no_such_row(allowed: frozenset[str]) -> Response:
    if not allowed:
        return answers.error(RegistryError(NOT_FOUND))
    response = answers.error(RegistryError(UNSUPPORTED))
    response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def open_blobs(url: str) -> BlobStore:
    """The blob store at `url`. Raises SettingsError."""
    parts = urlsplit(url)
    match parts.scheme:
        case "file":
            from storage.filesystem import FilesystemBlobs

            return FilesystemBlobs(local_path(url, "file"))
        case "gs" if parts.netloc and not parts.path.strip("/"):
            from storage.gcs import CloudStorageBlobs

            return CloudStorageBlobs(parts.netloc)
    raise SettingsError(f"a blob store is file:///FOLDER or gs://BUCKET, not {url}")


def open_metadata(url: str) -> MetadataStore:
    """The metadata store at `url`. Raises SettingsError."""
    parts = urlsplit(url)
    match parts.scheme:
        case "sqlite":
            from storage.sqlite import SqliteMetadata

            return SqliteMetadata(local_path(url, "sqlite"))
        case "firestore" if parts.netloc:
            from storage.firestore import FirestoreMetadata

            return FirestoreMetadata(parts.netloc, parts.path.strip("/") or "(default)")
    raise SettingsError(f"a metadata store is sqlite:///FILE or firestore://PROJECT/DATABASE, not {url}")


def open_registry(settings: Settings) -> Registry:
    """The registry over the stores that the settings name. Raises SettingsError, StorageError."""
    return Registry(open_blobs(settings.blobs), open_metadata(settings.metadata))


def create(settings: Settings) -> App:
    """The app, ready to serve."""
    return App(open_registry(settings), settings)
