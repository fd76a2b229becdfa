"""The app: a request in, an answer out.

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
from lading.server.leader import step_down
from lading.settings import Settings
from lading_storage.errors import StorageError, StoreFull

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

THREADS_PER_DRAIN: Final = 8
"""One thread in so many, at the most, reads what is left of a body that was refused, or a form. It may come slowly, and
from anybody: where more come, the answer goes out without it. So half of the threads that `BodySlots` keeps for
requests without a body are left to those in any case."""

MAX_SEARCHES: Final = 2
MAX_WAITING_SEARCHES: Final = 8
"""Listings of repositories at a time: with more of them, each pull would wait for all before it has the interpreter's
lock. No caller has more than half."""

COMMON_HEADERS: Final = (("Docker-Distribution-API-Version", "registry/2.0"), ("X-Content-Type-Options", "nosniff"))

CLOSE_HEADER: Final = ("Connection", "close")
"""The header of an answer to a request of which not all was read: the rest stands where the next one would begin."""

STATUSES_WITHOUT_LENGTH: Final = (204, 304)
"""They have no content, and do not say how long it is (RFC 9110, section 8.6)."""

BASIC_CHALLENGE: Final = 'Basic realm="Lading", charset="UTF-8"'
"""The challenge of /v2/token itself (RFC 7617)."""

log = logging.getLogger("lading")


class App:
    """The registry over HTTP. Any thread may call it."""

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        authenticator: Authenticator,
        read_only: str = "",
        reserve: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Serve `registry`.

        Args:
            registry: what is served.
            settings: how.
            authenticator: authenticates callers.
            read_only: says why nothing is written, "" where all may be.
            reserve: a block in which a deletion on a full disk has the space that is kept for it.
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
        """The app as WSGI servers call it (PEP 3333)."""
        answer = self.respond(request_of(environ))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", answer.headers)
        return answer

    def respond(self, request: Request) -> Response:
        """Answer one request; whatever goes wrong becomes an answer, too."""
        line = AccessLine(request, origin(request.environ, self._settings.trusted_hops))
        body = RequestBody(request, self._settings.body_timeout, self._settings.largest_body, self._drain_slots)
        answer = self._handle(request, body, line)
        if request.method == "HEAD":
            answer.content = b""
        known = bool(line.principal) or self._settings.access == "everybody"
        answer = self._as_stream(answer, known, line.origin.client, request.environ.get("REMOTE_ADDR", ""))
        if self._settings.cors_origins:
            cors.add_headers(self._settings.cors_origins, request.environ, answer)
        answer.headers += [*COMMON_HEADERS, ("X-Request-Id", line.origin.id)]
        if answer.status not in STATUSES_WITHOUT_LENGTH:
            answer.headers.append(("Content-Length", str(answer.size)))
        if body.unread and body.acquire_drain_slot():
            body.drain(behind_proxy=self._settings.trusted_hops > 0)
        if body.unread:
            answer.headers.append(CLOSE_HEADER)
        _log_when_sent(answer, line)
        if not body.close():
            answer.content = iter(answer)
            answer.call_on_close(body.wait)
        return answer

    def _as_stream(self, response: Response, known: bool, client: ClientAddress, peer: str) -> Response:
        """The answer; in pieces unless it is small, and another one where there is no room for it."""
        held = 0
        if isinstance(response.content, bytes):
            held = len(response.content)
            if held <= MAX_UNSTREAMED_SIZE:
                return response
            response.content = in_chunks(response.content)
        pieces = self.response_streams.add(response.content, client.network, held, known, peer)
        if pieces is None:
            return responses.error_response(RegistryError(UNAVAILABLE))
        response.content = pieces
        response.call_on_close(partial(self.response_streams.remove, pieces))
        return response

    def _handle(self, request: Request, body: RequestBody, line: AccessLine) -> Response:
        """Answer, and write down what was decided. A fault of a store may pass; any other fault is ours."""
        found = routes.match(request.method, request.path)
        audit = Audit(line.origin, "HTTP_AUTHORIZATION" not in request.environ)
        if not found.is_non_blocking or not _authenticates_without_io(request):
            step_down()
        try:
            self._checks.check(request.environ)
            answer = self._authenticate_and_run(request, body, found, audit)
        except RegistryError as error:
            answer = responses.error_response(error)
            if error.descriptor.status in LOGIN_REFUSALS:
                self._audit_refused_login(request, audit, error)
            if error.descriptor.status == 401:
                answer.add({"WWW-Authenticate": self._challenge(request, found, bool(error.detail))})
        except StoreFull as error:
            # A line each, without a traceback: where the log is on the same disk, it must not fill what is freed.
            log.error("%s: %s %s", error, request.method, quote(request.path))
            answer = responses.error_response(RegistryError(STORE_FULL, {"full": error.store}))
        except StorageError:
            log.exception("a store failed: %s %s", request.method, quote(request.path))
            answer = responses.error_response(RegistryError(UNAVAILABLE))
        except Exception:
            log.exception("a defect: %s %s", request.method, quote(request.path))
            answer = responses.error_response(RegistryError(UNKNOWN))
        line.principal = audit.principal
        if found.writes or answer.status in REFUSALS:
            audit.decision(found.audit_action, found.name, found.last_segment, answer.status)
        return answer

    def _audit_refused_login(self, request: Request, audit: Audit, error: RegistryError) -> None:
        """Tell the audit which user name was refused, where it was: an expired token is no login."""
        user = credentials.attempted_user(request.environ.get("HTTP_AUTHORIZATION", ""))
        if user is not None and (error.descriptor.status == 429 or not error.detail):
            audit.record_login_attempt(user)

    def _authenticate_and_run(self, request: Request, body: RequestBody, found: routes.Match, audit: Audit) -> Response:
        """Let the caller in, check name and access, and let the handler work."""
        if self._read_only and found.writes:
            raise RegistryError(UNSUPPORTED._replace(message=self._read_only))
        authorization = "" if found.is_unauthenticated else request.environ.get("HTTP_AUTHORIZATION", "")
        caller = self._authenticator.authenticate(authorization, audit.origin.client)
        audit.principal = caller.principal
        action = found.route.action
        if action in ON_REPOSITORIES:
            check_repository(found.name)
        self._authorise(caller, found)
        if found.writes and body.unread:
            self._acquire_slot(body, None if self._settings.access == "everybody" else caller.principal)
        call = RequestContext(
            request,
            body,
            self.registry,
            self._authenticator,
            caller,
            audit,
            self._searches,
            self._settings.url,
            found.name,
            found.last_segment,
        )
        try:
            return self._run_handler(found, call)
        except RegistryError as error:
            if error.upload is None:
                raise
            answer = responses.error_response(error)
            uploads.add_session_headers(call, error.upload, answer)
            return answer

    def _run_handler(self, found: routes.Match, context: RequestContext) -> Response:
        """Let the handler work: a deletion that the disk has no space for once more, with the reserve."""
        try:
            return found.route.handler(context)
        except StoreFull:
            if found.route.action is not Action.DELETE:
                raise
        with self._reserve():
            return found.route.handler(context)

    def _acquire_slot(self, body: RequestBody, principal: str | None) -> None:
        """Raises TOO_MANY_UPLOADS."""
        if not self._slots.acquire(principal):
            raise RegistryError(TOO_MANY_UPLOADS)
        body.call_on_close(partial(self._slots.release, principal))

    def _authorise(self, caller: Caller, found: routes.Match) -> None:
        """Raises DENIED, and UNAUTHORIZED where other credentials, or a token for more, might do."""
        action = found.route.action
        match caller.decide(action, found.name).effect:
            case Effect.DENIED:
                needed = self._authenticator.required_permission(caller.principal, action, found.name)
                raise denied(needed.permission, needed.resource)
            case Effect.UNDETERMINED:
                raise RegistryError(UNAUTHORIZED, {"scope": found.scope})

    def _challenge(self, request: Request, found: routes.Match, good: bool) -> str:
        """What a client can do about a 401: get a token for the request, or another one where its own is not `good`."""
        if found.route.action is Action.NONE:
            return BASIC_CHALLENGE
        scopes = [found.scope]
        source = request.args.get("from", "")
        if "mount" in request.args and is_repository(source):
            scopes.append(str(repository_scope(source, ["pull"])))
        error = "" if "HTTP_AUTHORIZATION" not in request.environ else "insufficient_scope" if good else "invalid_token"
        return self._authenticator.challenge(" ".join(filter(None, scopes)), error)


def request_of(environ: "WSGIEnvironment") -> Request:
    """The request that a WSGI server brings, to be let go with its body's buffers as soon as it is answered.

    werkzeug's own way is to put it into its environ, a cycle that lasts until Python looks for cycles.
    """
    request = Request(environ, populate_request=False)
    # Exactly as they were sent, so that routes and rights are decided by what any proxy in front has seen: werkzeug
    # takes `get` for GET, and `//v2/` for /v2/.
    request.method = environ["REQUEST_METHOD"]
    request.path = environ.get("PATH_INFO", "").encode("latin-1").decode(errors="replace")
    return request


def _authenticates_without_io(request: Request) -> bool:
    """Return whether the caller is known without asking a disk or a network: anonymous, or with a token of ours.

    Basic credentials are looked up in files, in the metadata or at Google.
    """
    authorization: str = request.environ.get("HTTP_AUTHORIZATION", "")
    return not authorization or authorization[:7].lower() == "bearer "


def _log_when_sent(response: Response, line: AccessLine) -> None:
    """Write the request's line when its answer has gone out: now, where that is in memory, or when its pieces end."""
    if isinstance(response.content, bytes):
        line.sent = len(response.content)
        line.write(response.status)
    else:
        response.content = line.count_sent(response.content)
        response.call_on_close(partial(line.write, response.status))
