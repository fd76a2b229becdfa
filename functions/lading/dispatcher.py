"""Dispatch of one request to its handler: checks, authentication, authorization, errors, and the audit log."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final
from urllib.parse import quote

from werkzeug.wrappers import Request

from lading.audit import LOGIN_REFUSALS, REFUSALS, Audit
from lading.auth import credentials
from lading.auth.access import OF_FUNCTIONS, ON_REPOSITORIES, Action, Authenticator, Caller, Effect
from lading.auth.bulkhead import Bulkhead
from lading.http.body_slots import BodySlots
from lading.http.poll_slots import PollSlots
from lading.http.request_body import RequestBody
from lading.http.request_checks import RequestChecks
from lading.http.responses import Response
from lading.http.thread_budget import ThreadBudget
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
from lading_storage.errors import StorageError, StoreFull, UnknownRules

MAX_SEARCHES: Final = 2
MAX_WAITING_SEARCHES: Final = 8
"""Concurrent listings of repositories, and queued ones: with more, each pull would wait for all of them to release the
interpreter's lock. A single caller has at most half."""

READ_INTERVAL: Final = 1.0
CLOUD_READ_INTERVAL: Final = 5.0
"""Seconds between two reads of events for all requests that wait for them, from a file and from Firestore."""

NEWER_RULES: Final = "a newer release of Lading wrote rules that this one does not know; run the newer release"

log = logging.getLogger("lading")


class Dispatcher:
    """The way of a request to its handler. Thread-safe.

    budget  the threads of slow clients, of which bodies take some
    polls   the requests that wait for events, which take some as well
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        authenticator: Authenticator,
        read_only: str,
        reserve: Callable[[], AbstractContextManager[None]],
    ) -> None:
        """Dispatch to handlers that use `registry`. See App for the arguments."""
        self._registry = registry
        self._settings = settings
        self._authenticator = authenticator
        self._read_only = read_only
        self._reserve = reserve
        self._checks = RequestChecks(settings)
        self.budget = ThreadBudget(settings.threads)
        self._slots = BodySlots(self.budget)
        self._searches = Bulkhead(MAX_SEARCHES, MAX_WAITING_SEARCHES)
        self.polls = PollSlots(self.budget, READ_INTERVAL if settings.embedded else CLOUD_READ_INTERVAL)

    def handle(self, request: Request, body: RequestBody, line: AccessLine, surface: Surface, match: Match) -> Response:
        """Return the response, and record the decision in the audit log.

        An error of a store is temporary (503); any other exception is a defect of Lading (500).
        """
        audit = Audit(line.origin, "HTTP_AUTHORIZATION" not in request.environ)
        if not match.route.is_non_blocking or not _authenticates_without_io(request):
            step_down()
        try:
            surface.check(self._checks, request.environ)
            body.require_end()
            response = self._authenticate_and_run(request, body, match, audit)
        except RegistryError as error:
            response = surface.render_error(error, request)
            audit.record_refusal(error)
            if error.descriptor.status in LOGIN_REFUSALS:
                self._audit_refused_login(request, audit, error)
            if error.descriptor.status == 401:
                response.add(surface.challenge(self._authenticator, match, request, error))
        except StoreFull as error:
            # One line each, without a traceback: a log on the same disk must not fill the space that is freed.
            log.error("%s: %s %s", error, request.method, quote(request.path))
            response = surface.render_error(RegistryError(STORE_FULL, {"full": error.store}), request)
        except UnknownRules as error:
            log.error("%s: %s %s", error, request.method, quote(request.path))
            response = surface.render_error(RegistryError(UNAVAILABLE, {"reason": NEWER_RULES}), request)
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
        action = match.route.action
        if action in OF_FUNCTIONS:
            caller = self._authenticator.authenticate_function(action, authorization)
        else:
            caller = self._authenticator.authenticate(authorization, audit.origin.client)
        audit.principal = caller.principal
        if action in ON_REPOSITORIES:
            check_repository(match.name)
        self._authorize(caller, match)
        if match.writes and body.unread:
            self._acquire_slot(body, None if self._settings.access == "everybody" else caller.principal)
        context = RequestContext(
            request,
            body,
            self._registry,
            self._authenticator,
            caller,
            audit,
            self._searches,
            self.polls,
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


def _authenticates_without_io(request: Request) -> bool:
    """Return whether the request is authenticated without disk or network: anonymous, or with Lading's own token.

    Basic credentials are looked up in files, in the metadata store or at Google.
    """
    authorization: str = request.environ.get("HTTP_AUTHORIZATION", "")
    return not authorization or authorization[:7].lower() == "bearer "
