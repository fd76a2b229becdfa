"""The door: who sent a request, and tokens for what they may do.

Authorization                  caller                   decided by
(none)                         Anonymous                what is public
Bearer, a token of ours        TokenCaller              what the token grants
Basic, robot+NAME              RobotCaller              what the robot may do
Basic, anybody else            the authorizer's         IAM, or the grants
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from lading.auth import credentials, cursors, patterns
from lading.auth.access import ON_REPOSITORIES, Action, Authorizer, Caller, Decision, Effect, RequiredPermission, Token
from lading.auth.credentials import Basic
from lading.auth.keys import KeyRing
from lading.auth.robots import USER_PREFIX, Robots
from lading.auth.scopes import CATALOG, Scope, repository
from lading.auth.tokens import TokenCaller, Tokens
from lading.http.client_address import ClientAddress
from lading.registry.errors import NOT_FOUND, UNAUTHORIZED, RegistryError
from lading.registry.names import MAX_NAME


@dataclass(frozen=True, slots=True)
class AnonymousCaller:
    """Caller without credentials: may pull what is public, and nothing else."""

    public: tuple[str, ...]
    principal: str = ""

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide: whoever is refused can still log in."""
        if action is Action.PULL and patterns.matches(self.public, repository):
            return Decision(Effect.ALLOWED, "the repository is public")
        allowed = action is Action.NONE
        return Decision(Effect.ALLOWED if allowed else Effect.UNDETERMINED, "nobody has logged in")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable."""
        return self.public


@dataclass(frozen=True, slots=True)
class AuthenticatedCaller:
    """Caller with credentials, who may also pull what is public."""

    caller: Caller
    public: tuple[str, ...]

    @property
    def principal(self) -> str:
        """See Caller.principal."""
        return self.caller.principal

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action is Action.PULL and patterns.matches(self.public, repository):
            return Decision(Effect.ALLOWED, "the repository is public")
        return self.caller.decide(action, repository)

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable."""
        return (*self.public, *self.caller.readable_patterns())


class RestrictedAuthenticator:
    """Door of a registry that is private but for what is public."""

    def __init__(self, authorizer: Authorizer, robots: Robots, keys: KeyRing, url: str, public: Sequence[str]) -> None:
        """Guard the registry that clients reach at `url`; all may pull from `public`, which are patterns."""
        self._authorizer = authorizer
        self._robots = robots
        self._keys = keys
        self._realm = f"{url}/v2/token"
        self._service = urlsplit(url).netloc
        self._public = tuple(public)
        self._tokens = Tokens(keys, url, self._service, public)

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """See Door.admit."""
        given = credentials.parse_authorization(authorization)
        if given is None:
            return AnonymousCaller(self._public)
        return self.log_in(*given, client) if isinstance(given, Basic) else self._tokens.verify(given.token)

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """See Door.log_in."""
        if not secret or len(secret) > credentials.MAX_LENGTH or len(user) > credentials.MAX_LENGTH:
            raise RegistryError(UNAUTHORIZED)
        who = self._robots if user.startswith(USER_PREFIX) else self._authorizer
        return AuthenticatedCaller(who.identify(user, secret, client), self._public)

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """See Door.issue."""
        if isinstance(caller, TokenCaller):
            # Else a token could be renewed for ever, and nobody would be asked again.
            raise RegistryError(UNAUTHORIZED)
        # The newest first: where Google is asked no more, it was asked about what the client needs now.
        decided = [_decide_scope(caller, scope) for scope in reversed(scopes)]
        granted, refused = ([pair[index] for pair in reversed(decided) if pair[index].actions] for index in (0, 1))
        return self._tokens.issue(caller, isinstance(caller, AnonymousCaller), granted, refused)

    def challenge(self, scope: str, error: str) -> str:
        """See Door.challenge; made of the configured URL, never of the Host header."""
        parts = {"realm": self._realm, "service": self._service, "scope": scope, "error": error}
        return "Bearer " + ",".join(f'{name}="{value}"' for name, value in parts.items() if value)

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """See Door.seal."""
        return cursors.seal(self._keys.robots, caller.principal, text)

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """See Door.unseal."""
        return cursors.unseal(self._keys.robots, caller.principal, cursor)

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        """See Door.needed."""
        # An address can begin so, too.
        if principal.startswith(USER_PREFIX) and "@" not in principal:
            return self._robots.required_permission(action, repository)
        return self._authorizer.required_permission(action, repository)


@dataclass(frozen=True, slots=True)
class Everybody:
    """Caller of a registry that is open: nobody in particular, who may do everything."""

    principal: str = ""

    def decide(self, action: Action, repository: str) -> Decision:
        """Yes."""
        return Decision(Effect.ALLOWED, "the registry is open")

    def readable_patterns(self) -> Sequence[str]:
        """All."""
        return ("*",)


EVERYBODY: Final = Everybody()


class OpenAuthenticator:
    """Door of a registry that only its own machine can reach: everybody there may do everything."""

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """See Door.admit: whatever is sent, nobody looks at it."""
        return EVERYBODY

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """See Door.log_in."""
        return EVERYBODY

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """See Door.issue: nobody needs a token."""
        raise RegistryError(NOT_FOUND)

    def challenge(self, scope: str, error: str) -> str:
        """See Door.challenge."""
        raise AssertionError("nobody is refused here")

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """See Door.seal: nothing is hidden here but what was deleted."""
        return cursors.CURSOR_PREFIX + text

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """See Door.unseal."""
        return cursor.removeprefix(cursors.CURSOR_PREFIX)[:MAX_NAME]

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        """See Door.needed."""
        raise AssertionError("nobody is refused here")


def _decide_scope(caller: Caller, scope: Scope) -> tuple[Scope, Scope]:
    """Return what of a scope is granted, and what is refused; what was not decided is neither."""
    if scope == CATALOG:
        allowed = caller.decide(Action.LIST, scope.name).allowed
        return (scope, replace(scope, actions=())) if allowed else (replace(scope, actions=()), scope)
    actions = [action for action in ON_REPOSITORIES if action.value in scope.actions]
    verdicts = {action.value: caller.decide(action, scope.name).effect for action in actions}
    granted, refused = (
        repository(scope.name, [action for action, verdict in verdicts.items() if verdict is wanted])
        for wanted in (Effect.ALLOWED, Effect.DENIED)
    )
    return granted, refused
