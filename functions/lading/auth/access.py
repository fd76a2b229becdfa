"""Shared types of authentication and authorization: Action, Decision, Caller, Authorizer, Authenticator."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from lading.auth.scopes import Scope
from lading.http.client_address import NO_ADDRESS, ClientAddress


class Action(Enum):
    """What a request does to a repository, or to the registry as a whole. DELETE is a right separate from PUSH."""

    NONE = "nothing"
    """The request needs no permission."""
    AUTHENTICATE = "enter"
    """The request only checks that its credentials are valid."""
    LIST = "list"
    """The request lists the repositories that the caller may pull from."""
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"
    MANAGE = "manage"
    """The request changes rules: of the registry (""), or of a namespace, whose name has a slash at its end (`team/`).
    So a grant on `team/*` covers the rules of team, and only one on `*` those of the registry."""
    SCAN = "scan"
    """The request is the scanner's, a service account of the registry itself: no other caller may make it."""
    ATTEST = "attest"
    """The request is the attester's, another service account of the registry, and changes nothing."""


ON_REPOSITORIES = (Action.PULL, Action.PUSH, Action.DELETE)

OF_FUNCTIONS = frozenset({Action.SCAN, Action.ATTEST})
"""The actions that only a function of the registry performs, each its own one."""

RIGHTS = (*ON_REPOSITORIES, Action.MANAGE)
"""The actions that a caller needs a grant for. No token of the registry, and no robot, has MANAGE."""


class Effect(Enum):
    """Outcome of the authorization of one action. Only ALLOWED permits it."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """The authorizer denied the action: other credentials are needed, not another token (403)."""
    UNDETERMINED = "unasked"
    """These credentials do not decide: the client should log in, or get a token that covers the action (401)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Authorization decision.

    effect     outcome
    rule       the rule that decided, as text for people
    consulted  the policies that were queried, in order, as text for people
    """

    effect: Effect
    rule: str
    consulted: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the action is permitted."""
        return self.effect is Effect.ALLOWED


def allow_or_deny(allowed: bool, rule: str, consulted: Sequence[str] = ()) -> Decision:
    """Return a decision of an authorizer: ALLOWED or DENIED, never UNDETERMINED."""
    return Decision(Effect.ALLOWED if allowed else Effect.DENIED, rule, tuple(consulted))


class Caller(Protocol):
    """The sender of a request, authenticated or anonymous."""

    @property
    def principal(self) -> str:
        """The name for logs, history and upload sessions; "" for an anonymous caller."""
        ...

    def decide(self, action: Action, repository: str) -> Decision:
        """Decide whether the caller may perform `action` on `repository` ("" if the action concerns none).

        Raises:
            RegistryError: UNAUTHORIZED if the credentials turn out to be invalid, UNAVAILABLE if the authorizer
                cannot be reached.
        """
        ...

    def readable_patterns(self) -> Sequence[str]:
        """Return patterns (auth.patterns) of the repositories that a listing may show.

        The number of queries to the authorizer does not depend on the number of repositories. Raises as `decide` does.
        """
        ...


class RequiredPermission(NamedTuple):
    """A permission, and the resource on which an action needs it, in the terms of the authorizer."""

    permission: str
    resource: str


class Authorizer(Protocol):
    """Authenticates callers by user name and secret, and authorizes their actions.

    Implementations use IAM on a bucket, IAM on a project, or files. Thread-safe.
    """

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> Caller:
        """Return the caller with these credentials, sent from `client`.

        Raises:
            RegistryError: UNAUTHORIZED if the credentials are invalid, UNAVAILABLE if they cannot be checked now.
        """
        ...

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """Return the permission that the action needs, without I/O."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """A bearer token that the registry issued.

    text        value to send as `Authorization: Bearer`
    expires_in  lifetime in seconds
    issued_at   seconds since 1970
    granted     scopes that the token grants
    refused     scopes that were requested and denied
    """

    text: str
    expires_in: int
    issued_at: int
    granted: tuple[Scope, ...]
    refused: tuple[Scope, ...]


class Authenticator(Protocol):
    """Authenticates requests and issues tokens. Thread-safe."""

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """Return the caller that sent a request with this Authorization header ("" for none) from `client`.

        Raises:
            RegistryError: UNAUTHORIZED if the credentials are invalid (they are never treated as absent), UNAVAILABLE
                if they cannot be checked now.
        """
        ...

    def authenticate_function(self, action: Action, authorization: str) -> Caller:
        """Return the function that performs an action of OF_FUNCTIONS, and no other, if the header authenticates it.

        Raises as `authenticate` does, and DENIED for all others.
        """
        ...

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """Return the caller with these credentials, sent from `client`. Raises as `authenticate` does."""
        ...

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """Return a token for those of `scopes` that the caller is authorized for.

        Raises as Caller.decide does, and NOT_FOUND if this registry issues no tokens.
        """
        ...

    def remaining_life(self, caller: Caller) -> float:
        """Return for how many seconds a request of the caller may last until its token expires; inf without one."""
        ...

    def challenge(self, scope: str, error: str) -> str:
        """Return the WWW-Authenticate header of a 401 (RFC 6750, section 3). Both arguments may be ""."""
        ...

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """Return an opaque listing cursor, which reveals nothing to the caller (auth.cursors)."""
        ...

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """Return the text of a cursor that `seal_cursor` made for the caller. Raises QUERY_INVALID for any other."""
        ...

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        """Return the permission that the action needs, in the terms of the authorizer of `principal`."""
        ...
