"""Spans of authentication and authorization, and of the requests to Google that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind, Tracer

from lading.auth.access import Action, Authenticator, Caller, Decision, Token
from lading.auth.google.client import GoogleClient, Reply
from lading.auth.google.subject import IamSubject
from lading.auth.scopes import Scope
from lading.http.client_address import ClientAddress
from lading.traces.spans import child_span


@dataclass(frozen=True, slots=True, repr=False)
class TracedCaller:
    """Caller whose decisions have spans. See Caller."""

    caller: Caller
    tracer: Tracer

    @property
    def principal(self) -> str:
        """See Caller.principal."""
        return self.caller.principal

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        with child_span(self.tracer, "authorize", attributes={"lading.action": action.value}):
            return self.caller.decide(action, repository)

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        with child_span(self.tracer, "authorize", attributes={"lading.action": Action.LIST.value}):
            return self.caller.readable_patterns()


class TracedAuthenticator:
    """Authenticator whose decisions have spans. See Authenticator."""

    def __init__(self, authenticator: Authenticator, tracer: Tracer) -> None:
        """Authenticate by `authenticator`."""
        self._authenticator = authenticator
        self._tracer = tracer
        self.challenge = authenticator.challenge
        self.required_permission = authenticator.required_permission
        self.authenticate_function = authenticator.authenticate_function

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """See Authenticator.authenticate."""
        with child_span(self._tracer, "authenticate"):
            return TracedCaller(self._authenticator.authenticate(authorization, client), self._tracer)

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """See Authenticator.log_in."""
        with child_span(self._tracer, "authenticate"):
            return TracedCaller(self._authenticator.log_in(user, secret, client), self._tracer)

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """See Authenticator.issue_token. It makes the decisions about all scopes."""
        with child_span(self._tracer, "authorize", attributes={"lading.scopes": len(scopes)}):
            return self._authenticator.issue_token(_untraced(caller), scopes)

    def remaining_life(self, caller: Caller) -> float:
        """See Authenticator.remaining_life."""
        return self._authenticator.remaining_life(_untraced(caller))

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """See Authenticator.seal_cursor."""
        return self._authenticator.seal_cursor(_untraced(caller), text)

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """See Authenticator.unseal_cursor."""
        return self._authenticator.unseal_cursor(_untraced(caller), cursor)


class TracedGoogleClient(GoogleClient):
    """GoogleClient whose requests have spans."""

    def __init__(self, tracer: Tracer) -> None:
        """Use Google, or the emulator that the environment names."""
        super().__init__()
        self._tracer = tracer

    def _request(self, method: str, url: str, subject: IamSubject, token: str = "", **body: Any) -> Reply:
        host, name = urlsplit(url).hostname or "", url.rpartition("/")[2].rpartition(":")[2]
        attributes = {"http.request.method": method, "server.address": host, "url.full": url}
        with child_span(self._tracer, f"google {name}", SpanKind.CLIENT, attributes):
            return super()._request(method, url, subject, token, **body)


def _untraced(caller: Caller) -> Caller:
    """Return the caller as the authenticator returned it, which knows the classes of its own callers."""
    return caller.caller if isinstance(caller, TracedCaller) else caller
