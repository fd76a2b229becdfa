"""What a caller may do, and how that is decided: the words that the rest of auth, the app and the routes share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

from lading.auth.scopes import Scope
from lading.http.client_address import NO_ADDRESS, ClientAddress


class Action(Enum):
    """What a request does to a repository, or to the registry as a whole. Deleting is a right of its own."""

    NONE = "nothing"
    """It asks for nothing that anybody could be refused."""
    AUTHENTICATE = "enter"
    """It asks only whether the credentials are good."""
    LIST = "list"
    """It lists the repositories that the caller may pull from."""
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


ON_REPOSITORIES = (Action.PULL, Action.PUSH, Action.DELETE)


class Effect(Enum):
    """What is said of one action. Only ALLOWED lets it happen."""

    ALLOWED = "allowed"
    DENIED = "denied"
    """Somebody who was asked said no: other credentials are needed, not another token (403)."""
    UNDETERMINED = "unasked"
    """These credentials do not say: the client should log in, or get a token that covers the action (401)."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict, the rule that it came from, and what was asked of whom on the way, in order, for people."""

    effect: Effect
    rule: str
    consulted: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the action may happen."""
        return self.effect is Effect.ALLOWED


def allow_or_deny(allowed: bool, rule: str, consulted: Sequence[str] = ()) -> Decision:
    """A decision of somebody who was asked."""
    return Decision(Effect.ALLOWED if allowed else Effect.DENIED, rule, tuple(consulted))


class Caller(Protocol):
    """Whoever sent a request."""

    @property
    def principal(self) -> str:
        """The name for logs, history and upload sessions, or "" where the credentials name nobody."""
        ...

    def decide(self, action: Action, repository: str) -> Decision:
        """Whether the caller may do this to the repository ("" where the action concerns none).

        Raises UNAUTHORIZED where the credentials turn out to be bad, and UNAVAILABLE where nobody can be asked.
        """
        ...

    def readable_patterns(self) -> Sequence[str]:
        """Patterns (auth.patterns) of what a listing may show; asks nobody once per repository. Raises as `decide`."""
        ...


class RequiredPermission(NamedTuple):
    """What an action needs, in the words of whoever decides: a permission, and the resource that it is needed on."""

    permission: str
    resource: str


class Authorizer(Protocol):
    """Knows callers by a user name and a secret, and what each may do: IAM on a bucket, IAM on a project, or files.

    All methods may be called from any thread.
    """

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> Caller:
        """Return the caller with these credentials, sent from `client`.

        Raises UNAUTHORIZED where they are bad, UNAVAILABLE where they cannot be checked now.
        """
        ...

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """What the action needs; asks nobody."""
        ...


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the registry's own, and what it was issued for.

    text     to be sent as `Authorization: Bearer`
    seconds  that it lives
    issued   seconds since 1970
    granted  what it allows
    refused  what was asked for in vain
    """

    text: str
    expires_in: int
    issued_at: int
    granted: tuple[Scope, ...]
    refused: tuple[Scope, ...]


class Authenticator(Protocol):
    """Lets callers in. All methods may be called from any thread."""

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """Return the caller that sent a request with this Authorization header ("" for none) from `client`.

        Raises UNAUTHORIZED where the credentials are bad, which are never taken for none, and UNAVAILABLE.
        """
        ...

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """Return the caller with these credentials, sent from `client`. Raises as `admit` does."""
        ...

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """A token for what the caller may do of `scopes`. Raises as Caller.decide does; NOT_FOUND where none are."""
        ...

    def challenge(self, scope: str, error: str) -> str:
        """The WWW-Authenticate header of a 401 (RFC 6750, section 3). Both texts may be ""."""
        ...

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """Return a cursor of a listing that tells the caller nothing (auth.cursors)."""
        ...

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """Return the text of a cursor that `seal` made for the caller. Raises QUERY_INVALID."""
        ...

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        """As Authorizer.needed, in the words of whoever decides about `principal`."""
        ...
