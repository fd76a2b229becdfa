"""The app: the HTTP interface of a registry, independent of the server.

serve, functions-framework ───┐
any WSGI server ─▶ __call__ ──┴▶ App.respond ──▶ routes ──▶ api ──▶ registry ──▶ storage
"""

import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from werkzeug.wrappers import Request

from lading import routes
from lading.api import uploads
from lading.audit import LOGIN_REFUSALS, REFUSALS, Audit
from lading.auth import credentials
from lading.auth.access import ON_REPOSITORIES, Action, Authenticator, Caller, Effect
from lading.auth.bulkhead import Bulkhead
from lading.auth.scopes import repository as repository_scope
from lading.http import cors, responses
from lading.http.body_slots import BodySlots
from lading.http.client_address import ClientAddress
from lading.http.origin import origin
from lading.http.request_body import RequestBody
from lading.http.request_checks import RequestChecks
from lading.http.request_context import RequestContext
from lading.http.responses import Response
from lading.http.streaming import MAX_UNSTREAMED_SIZE, ResponseStreams, in_chunks
from lading.leader import step_down
from lading.logs import AccessLine
from lading.registry.errors import (
    STORE_FULL,
    TOO_MANY_UPLOADS,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNKNOWN,
    UNSUPPORTED,
    RegistryError,
    denied,
)
from lading.registry.names import check_repository, is_repository
from lading.registry.registry import Registry
from lading.settings import Settings
from lading_storage.errors import StorageError, StoreFull

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

THREADS_PER_DRAIN: Final = 8
"""At most one in so many threads drains a refused body, or reads a form, either of which any client may send slowly.
Without a free slot the response is sent without draining. So half of the threads that `BodySlots` reserves for requests
without a body remain available to them."""

MAX_SEARCHES: Final = 2
MAX_WAITING_SEARCHES: Final = 8
"""Concurrent listings of repositories, and queued ones: with more, each pull would wait for all of them to release the
interpreter's lock. A single caller has at most half."""

COMMON_HEADERS: Final = (("Docker-Distribution-API-Version", "registry/2.0"), ("X-Content-Type-Options", "nosniff"))

CLOSE_HEADER: Final = ("Connection", "close")
"""The header of a response to a request with unread bytes, which would be taken for the beginning of the next one."""

STATUSES_WITHOUT_LENGTH: Final = (204, 304)
"""Statuses without content and Content-Length (RFC 9110, section 8.6)."""

BASIC_CHALLENGE: Final = 'Basic realm="Lading", charset="UTF-8"'
"""The challenge of /v2/token (RFC 7617)."""

log = logging.getLogger("lading")


class App:
    """The HTTP interface of a registry. Thread-safe."""

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        authenticator: Authenticator,
        read_only: str = "",
        reserve: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Create the app.

        Args:
            registry: the registry.
            settings: the settings.
            authenticator: authenticates callers.
            read_only: the reason why writes are refused, or "" where they are not.
            reserve: returns a block in which a deletion on a full disk may use the reserved space.
        """
        self._reserve = reserve
        self._read_only = read_only
        self.registry = registry
        self._settings = settings
        self._checks = RequestChecks(settings)
        self._authenticator = authenticator
        self._drain_slots = BoundedSemaphore(max(1, settings.threads // THREADS_PER_DRAIN))
        self._slots = BodySlots(settings.threads)
        self._searches = Bulkhead(MAX_SEARCHES, MAX_WAITING_SEARCHES)
        self.response_streams = ResponseStreams(settings.threads)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Respond to a request of a WSGI server (PEP 3333)."""
        response = self.respond(request_of(environ))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", response.headers)
        return response

    def respond(self, request: Request) -> Response:
        """Return the response to a request. Never raises: every exception becomes an error response."""
        line = AccessLine(request, origin(request.environ, self._settings.trusted_hops))
        body = RequestBody(request, self._settings.body_timeout, self._settings.largest_body, self._drain_slots)
        response = self._handle(request, body, line)
        if request.method == "HEAD":
            response.content = b""
        authenticated = bool(line.principal) or self._settings.access == "everybody"
        response = self._as_stream(response, authenticated, line.origin.client, request.environ.get("REMOTE_ADDR", ""))
        if self._settings.cors_origins:
            cors.add_headers(self._settings.cors_origins, request.environ, response)
        response.headers += [*COMMON_HEADERS, ("X-Request-Id", line.origin.id)]
        if response.status not in STATUSES_WITHOUT_LENGTH:
            response.headers.append(("Content-Length", str(response.size)))
        if body.unread and body.acquire_drain_slot():
            body.drain(behind_proxy=self._settings.trusted_hops > 0)
        if body.unread:
            response.headers.append(CLOSE_HEADER)
        _log_when_sent(response, line)
        if not body.close():
            response.content = iter(response)
            response.call_on_close(body.wait)
        return response

    def _as_stream(self, response: Response, authenticated: bool, client: ClientAddress, peer: str) -> Response:
        """Return the response, streamed unless it is small; or an error where the limits on streams are reached."""
        bytes_in_memory = 0
        if isinstance(response.content, bytes):
            bytes_in_memory = len(response.content)
            if bytes_in_memory <= MAX_UNSTREAMED_SIZE:
                return response
            response.content = in_chunks(response.content)
        stream = self.response_streams.add(response.content, client.network, bytes_in_memory, authenticated, peer)
        if stream is None:
            return responses.error_response(RegistryError(UNAVAILABLE))
        response.content = stream
        response.call_on_close(partial(self.response_streams.remove, stream))
        return response

    def _handle(self, request: Request, body: RequestBody, line: AccessLine) -> Response:
        """Return the response, and record the decision in the audit log.

        An error of a store is temporary (503); any other exception is a defect of Lading (500).
        """
        match = routes.match(request.method, request.path)
        audit = Audit(line.origin, "HTTP_AUTHORIZATION" not in request.environ)
        if not match.is_non_blocking or not _authenticates_without_io(request):
            step_down()
        try:
            self._checks.check(request.environ)
            response = self._authenticate_and_run(request, body, match, audit)
        except RegistryError as error:
            response = responses.error_response(error)
            if error.descriptor.status in LOGIN_REFUSALS:
                self._audit_refused_login(request, audit, error)
            if error.descriptor.status == 401:
                response.add({"WWW-Authenticate": self._challenge(request, match, bool(error.detail))})
        except StoreFull as error:
            # One line each, without a traceback: a log on the same disk must not fill the space that is freed.
            log.error("%s: %s %s", error, request.method, quote(request.path))
            response = responses.error_response(RegistryError(STORE_FULL, {"full": error.store}))
        except StorageError:
            log.exception("a store failed: %s %s", request.method, quote(request.path))
            response = responses.error_response(RegistryError(UNAVAILABLE))
        except Exception:
            log.exception("a defect: %s %s", request.method, quote(request.path))
            response = responses.error_response(RegistryError(UNKNOWN))
        line.principal = audit.principal
        if match.writes or response.status in REFUSALS:
            audit.decision(match.audit_action, match.name, match.last_segment, response.status)
        return response

    def _audit_refused_login(self, request: Request, audit: Audit, error: RegistryError) -> None:
        """Record the user name of a refused login. A request with an expired token is not a login."""
        user = credentials.attempted_user(request.environ.get("HTTP_AUTHORIZATION", ""))
        if user is not None and (error.descriptor.status == 429 or not error.detail):
            audit.record_login_attempt(user)

    def _authenticate_and_run(self, request: Request, body: RequestBody, match: routes.Match, audit: Audit) -> Response:
        """Authenticate and authorize the caller, check the repository's name, and run the handler."""
        if self._read_only and match.writes:
            raise RegistryError(UNSUPPORTED._replace(message=self._read_only))
        authorization = "" if match.is_unauthenticated else request.environ.get("HTTP_AUTHORIZATION", "")
        caller = self._authenticator.authenticate(authorization, audit.origin.client)
        audit.principal = caller.principal
        action = match.route.action
        if action in ON_REPOSITORIES:
            check_repository(match.name)
        self._authorize(caller, match)
        if match.writes and body.unread:
            self._acquire_slot(body, None if self._settings.access == "everybody" else caller.principal)
        context = RequestContext(
            request,
            body,
            self.registry,
            self._authenticator,
            caller,
            audit,
            self._searches,
            self._settings.url,
            match.name,
            match.last_segment,
        )
        try:
            return self._run_handler(match, context)
        except RegistryError as error:
            if error.upload is None:
                raise
            response = responses.error_response(error)
            uploads.add_session_headers(context, error.upload, response)
            return response

    def _run_handler(self, match: routes.Match, context: RequestContext) -> Response:
        """Run the handler; retry a deletion for which the disk has no space with the reserve."""
        try:
            return match.route.handler(context)
        except StoreFull:
            if match.route.action is not Action.DELETE:
                raise
        with self._reserve():
            return match.route.handler(context)

    def _acquire_slot(self, body: RequestBody, principal: str | None) -> None:
        """Acquire a slot for a request with a body, until the body is closed. Raises TOO_MANY_UPLOADS."""
        if not self._slots.acquire(principal):
            raise RegistryError(TOO_MANY_UPLOADS)
        body.call_on_close(partial(self._slots.release, principal))

    def _authorize(self, caller: Caller, match: routes.Match) -> None:
        """Check that the caller may perform the action of the route.

        Raises:
            RegistryError: DENIED; or UNAUTHORIZED where other credentials, or a token with more scopes, may suffice.
        """
        action = match.route.action
        effect = caller.decide(action, match.name).effect
        if effect is Effect.DENIED:
            required = self._authenticator.required_permission(caller.principal, action, match.name)
            raise denied(required.permission, required.resource)
        if effect is Effect.UNDETERMINED:
            raise RegistryError(UNAUTHORIZED, {"scope": match.scope})

    def _challenge(self, request: Request, match: routes.Match, valid: bool) -> str:
        """Return the WWW-Authenticate header: where to get a token, and whether the present one is `valid`."""
        if match.route.action is Action.NONE:
            return BASIC_CHALLENGE
        scopes = [match.scope]
        source = request.args.get("from", "")
        if "mount" in request.args and is_repository(source):
            scopes.append(str(repository_scope(source, ["pull"])))
        error = (
            "" if "HTTP_AUTHORIZATION" not in request.environ else "insufficient_scope" if valid else "invalid_token"
        )
        return self._authenticator.challenge(" ".join(filter(None, scopes)), error)


def request_of(environ: "WSGIEnvironment") -> Request:
    """Return the request of a WSGI environment, freed with its body's buffers as soon as its response is sent.

    By default werkzeug stores it in the environment, a reference cycle that lives until the next garbage collection.
    """
    request = Request(environ, populate_request=False)
    # Exactly as sent, so that routes and rights are decided by what a reverse proxy sees: werkzeug changes `get` to
    # GET, and `//v2/` to /v2/.
    request.method = environ["REQUEST_METHOD"]
    request.path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
    return request


def _authenticates_without_io(request: Request) -> bool:
    """Return whether the request is authenticated without disk or network: anonymous, or with Lading's own token.

    Basic credentials are looked up in files, in the metadata store or at Google.
    """
    authorization: str = request.environ.get("HTTP_AUTHORIZATION", "")
    return not authorization or authorization[:7].lower() == "bearer "


def _log_when_sent(response: Response, line: AccessLine) -> None:
    """Write the access log's line: now for a response in memory, and at its end for a stream."""
    if isinstance(response.content, bytes):
        line.sent = len(response.content)
        line.write(response.status)
    else:
        response.content = line.count_sent(response.content)
        response.call_on_close(partial(line.write, response.status))
