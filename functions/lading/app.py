"""The app: the HTTP interface of a registry, independent of the server.

serve, functions-framework ───┐
any WSGI server ─▶ __call__ ──┴▶ App.respond ──▶ surface ──▶ handler ──▶ registry ──▶ storage
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
from lading.audit import LOGIN_REFUSALS, REFUSALS, Audit
from lading.auth import credentials
from lading.auth.access import ON_REPOSITORIES, Action, Authenticator, Caller, Effect
from lading.auth.bulkhead import Bulkhead
from lading.http import cors
from lading.http.body_slots import BodySlots
from lading.http.client_address import ClientAddress
from lading.http.origin import origin
from lading.http.request_body import RequestBody
from lading.http.request_checks import RequestChecks
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
from lading.registry.names import check_repository
from lading.registry.registry import Registry
from lading.settings import Settings
from lading.surface.request_context import RequestContext
from lading.surface.route import Match
from lading.surface.surface import Surface
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

CLOSE_HEADER: Final = ("Connection", "close")
"""The header of a response to a request with unread bytes, which would be taken for the beginning of the next one."""

STATUSES_WITHOUT_CONTENT: Final = (204, 304)
"""Statuses without content (RFC 9110, section 6.4.1), which are sent without Content-Length (section 8.6)."""

log = logging.getLogger("lading")


class App:
    """The HTTP interface of a registry. Thread-safe.

    registry          the registry
    response_streams  all streamed responses
    surface_of        returns the surface of a path
    """

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
        self.surface_of: Callable[[str], Surface] = routes.surface_of
        self._settings = settings
        self._checks = RequestChecks(settings)
        self._authenticator = authenticator
        self._drain_slots = BoundedSemaphore(max(1, settings.threads // THREADS_PER_DRAIN))
        self._slots = BodySlots(settings.threads)
        self._searches = Bulkhead(MAX_SEARCHES, MAX_WAITING_SEARCHES)
        self.response_streams = ResponseStreams(settings.threads)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Respond to a request of a WSGI server (PEP 3333), which decides itself when it closes the connection."""
        response = self.respond(request_of(environ))
        headers = [header for header in response.headers if header != CLOSE_HEADER]
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return response

    def respond(self, request: Request) -> Response:
        """Return the response to a request. Never raises: every exception becomes an error response."""
        line = AccessLine(request, origin(request.environ, self._settings.trusted_hops))
        body = RequestBody(request, self._settings.body_timeout, self._settings.largest_body, self._drain_slots)
        surface = self.surface_of(request.path)
        response = self._handle(request, body, line, surface)
        if request.method == "HEAD" or response.status in STATUSES_WITHOUT_CONTENT:
            response.discard_content()
        authenticated = bool(line.principal) or self._settings.access == "everybody"
        if not self._add_stream(response, authenticated, line.origin.client, request.environ.get("REMOTE_ADDR", "")):
            response.close()
            response = surface.render_error(RegistryError(UNAVAILABLE), request)
        if self._settings.cors_origins:
            cors.add_headers(self._settings.cors_origins, request.environ, response)
        response.headers += [*surface.headers, ("X-Request-Id", line.origin.id)]
        if response.status not in STATUSES_WITHOUT_CONTENT:
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

    def _add_stream(self, response: Response, authenticated: bool, client: ClientAddress, peer: str) -> bool:
        """Make a response a stream unless it is small; return False where the limits on streams are reached."""
        bytes_in_memory = 0
        if isinstance(response.content, bytes):
            bytes_in_memory = len(response.content)
            if bytes_in_memory <= MAX_UNSTREAMED_SIZE:
                return True
            response.content = in_chunks(response.content)
        stream = self.response_streams.add(response.content, client.network, bytes_in_memory, authenticated, peer)
        if stream is None:
            return False
        response.content = stream
        response.call_on_close(partial(self.response_streams.remove, stream))
        return True

    def _handle(self, request: Request, body: RequestBody, line: AccessLine, surface: Surface) -> Response:
        """Return the response, and record the decision in the audit log.

        An error of a store is temporary (503); any other exception is a defect of Lading (500).
        """
        match = surface.match(request.method, request.path)
        audit = Audit(line.origin, "HTTP_AUTHORIZATION" not in request.environ)
        if not match.route.is_non_blocking or not _authenticates_without_io(request):
            step_down()
        try:
            surface.check(self._checks, request.environ)
            body.require_end()
            response = self._authenticate_and_run(request, body, match, audit)
        except RegistryError as error:
            response = surface.render_error(error, request)
            if error.descriptor.status in LOGIN_REFUSALS:
                self._audit_refused_login(request, audit, error)
            if error.descriptor.status == 401:
                response.add(surface.challenge(self._authenticator, match, request, error))
        except StoreFull as error:
            # One line each, without a traceback: a log on the same disk must not fill the space that is freed.
            log.error("%s: %s %s", error, request.method, quote(request.path))
            response = surface.render_error(RegistryError(STORE_FULL, {"full": error.store}), request)
        except StorageError:
            log.exception("a store failed: %s %s", request.method, quote(request.path))
            response = surface.render_error(RegistryError(UNAVAILABLE), request)
        except Exception:
            log.exception("a defect: %s %s", request.method, quote(request.path))
            response = surface.render_error(RegistryError(UNKNOWN), request)
        line.principal = audit.principal
        if match.writes or response.status in REFUSALS:
            audit.decision(match.audit_action, match.name, match.last_segment, response.status)
        return response

    def _audit_refused_login(self, request: Request, audit: Audit, error: RegistryError) -> None:
        """Record the user name of a refused login. A request with an expired token is not a login."""
        user = credentials.attempted_user(request.environ.get("HTTP_AUTHORIZATION", ""))
        if user is not None and (error.descriptor.status == 429 or not error.detail):
            audit.record_login_attempt(user)

    def _authenticate_and_run(self, request: Request, body: RequestBody, match: Match, audit: Audit) -> Response:
        """Authenticate and authorize the caller, check the repository's name, and run the handler."""
        if self._read_only and match.writes:
            raise RegistryError(UNSUPPORTED._replace(message=self._read_only))
        authorization = "" if match.route.ignores_credentials else request.environ.get("HTTP_AUTHORIZATION", "")
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
        return self._run_handler(match, context)

    def _run_handler(self, match: Match, context: RequestContext) -> Response:
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

    def _authorize(self, caller: Caller, match: Match) -> None:
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
