"""The app: the HTTP interface of a registry, independent of the server.

serve, functions-framework ───┐
any WSGI server ─▶ __call__ ──┴▶ App.respond ──▶ Dispatcher.handle ──▶ surface ──▶ handler ──▶ registry ──▶ storage

The App turns bytes into a request, and a response into bytes; the Dispatcher decides who may do what in between.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from http import HTTPStatus
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Request

from lading import routes
from lading.auth.access import Authenticator
from lading.dispatcher import Dispatcher
from lading.http import cors
from lading.http.client_address import ClientAddress
from lading.http.origin import origin
from lading.http.request_body import RequestBody
from lading.http.responses import Response
from lading.http.streaming import MAX_UNSTREAMED_SIZE, ResponseStreams, in_chunks
from lading.logs import AccessLine
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.registry.registry import Registry
from lading.settings import Settings
from lading.surface.route import Match
from lading.surface.surface import Surface

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

THREADS_PER_DRAIN: Final = 8
"""At most one in so many threads drains a refused body, or reads a form, either of which any client may send slowly.
Without a free slot the response is sent without draining. So half of the threads that `ThreadBudget` reserves for other
requests remain available to them."""

CLOSE_HEADER: Final = ("Connection", "close")
"""The header of a response to a request with unread bytes, which would be taken for the beginning of the next one."""

STATUSES_WITHOUT_CONTENT: Final = (204, 304)
"""Statuses without content (RFC 9110, section 6.4.1), which are sent without Content-Length (section 8.6)."""

MATCH: Final = "lading.match"
"""The key of a request's environment under which hooks leave its route."""

Respond = Callable[[Request], Response]

RequestHook = Callable[[Respond, Request], Response]
"""Returns the response to a request, by default what the first argument returns for it."""


class App:
    """The HTTP interface of a registry. Thread-safe.

    registry          the registry
    authenticator     authenticates callers
    response_streams  all streamed responses
    surface_of        returns the surface of a path
    respond           returns the response to a request; never raises: every exception becomes an error response
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
        self.registry = registry
        self.authenticator = authenticator
        self.surface_of: Callable[[str], Surface] = routes.surface_of
        self.respond: Respond = self._respond
        self._settings = settings
        self._dispatcher = Dispatcher(registry, settings, authenticator, read_only, reserve)
        self._drain_slots = BoundedSemaphore(max(1, settings.threads // THREADS_PER_DRAIN))
        self.response_streams = ResponseStreams(settings.threads, self._dispatcher.budget)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Respond to a request of a WSGI server (PEP 3333), which decides itself when it closes the connection."""
        response = self.respond(request_of(environ))
        headers = [header for header in response.headers if header != CLOSE_HEADER]
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return response

    def add_hook(self, hook: RequestHook) -> None:
        """Put a hook around all requests, before the first one. Without one, a request passes through nothing more."""
        self.respond = partial(hook, self.respond)

    def match(self, request: Request) -> Match:
        """Return the route of a request, for hooks: however many there are, a request is matched once."""
        found: Match | None = request.environ.get(MATCH)
        if found is None:
            found = request.environ[MATCH] = self.surface_of(request.path).match(request.method, request.path)
        return found

    def _respond(self, request: Request) -> Response:
        """Return the response to a request."""
        line = AccessLine(request, origin(request.environ, self._settings.trusted_hops))
        body = RequestBody(request, self._settings.body_timeout, self._settings.largest_body, self._drain_slots)
        surface = self.surface_of(request.path)
        match = request.environ.get(MATCH) or surface.match(request.method, request.path)
        response = self._dispatcher.handle(request, body, line, surface, match)
        if request.method == "HEAD" or response.status in STATUSES_WITHOUT_CONTENT:
            response.discard_content()
        principal = line.principal or ("" if self._settings.access == "everybody" else None)
        if not self._add_stream(response, principal, line.origin.client, request.environ.get("REMOTE_ADDR", "")):
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

    def end_polls(self) -> None:
        """End the requests that wait for events soon, since the server shuts down."""
        self._dispatcher.polls.close()

    def _add_stream(self, response: Response, principal: str | None, client: ClientAddress, peer: str) -> bool:
        """Make a response a stream unless it is small; return False where the limits on streams are reached."""
        bytes_in_memory = 0
        if isinstance(response.content, bytes):
            bytes_in_memory = len(response.content)
            if bytes_in_memory <= MAX_UNSTREAMED_SIZE:
                return True
            response.content = in_chunks(response.content)
        stream = self.response_streams.add(response.content, client.network, bytes_in_memory, principal, peer)
        if stream is None:
            return False
        response.content = stream
        response.call_on_close(partial(self.response_streams.remove, stream))
        return True


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


def _log_when_sent(response: Response, line: AccessLine) -> None:
    """Write the access log's line: now for a response in memory, and at its end for a stream."""
    if isinstance(response.content, bytes):
        line.sent = len(response.content)
        line.write(response.status)
    else:
        response.content = line.count_sent(response.content)
        response.call_on_close(partial(line.write, response.status))
