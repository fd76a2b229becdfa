"""Authentication of requests, and issuing of tokens.

Authorization header           caller                   authorized by
(none)                         AnonymousCaller          the public patterns
Bearer, the registry's token   TokenCaller              the token's scopes
Basic, robot+NAME              RobotCaller              the robot's record
Basic, any other user          the Authorizer's         IAM, or the grants file
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from lading.auth import credentials, cursors, patterns
from lading.auth.access import ON_REPOSITORIES, Action, Authorizer, Caller, Decision, Effect, RequiredPermission, Token
from lading.auth.credentials import Basic
from lading.auth.google.function_account import FunctionAccount
from lading.auth.keys import KeyRing
from lading.auth.robots import USER_PREFIX, Robots
from lading.auth.scopes import CATALOG, Scope, repository
from lading.auth.tokens import TokenCaller, Tokens
from lading.http.client_address import ClientAddress
from lading.registry.errors import NOT_FOUND, UNAUTHORIZED, RegistryError


@dataclass(frozen=True, slots=True)
class AnonymousCaller:
    """Caller without credentials, who may pull from public repositories only."""

    public: tuple[str, ...]
    principal: str = ""

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide. A refusal is UNDETERMINED: the client can still log in."""
        if action is Action.PULL and patterns.matches(self.public, repository):
            return Decision(Effect.ALLOWED, "the repository is public")
        allowed = action is Action.NONE
        return Decision(Effect.ALLOWED if allowed else Effect.UNDETERMINED, "the request has no credentials")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return self.public


@dataclass(frozen=True, slots=True)
class AuthenticatedCaller:
    """Caller with credentials, who may also pull from public repositories."""

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
        """See Caller.readable_patterns."""
        return (*self.public, *self.caller.readable_patterns())


class Accounts(NamedTuple):
    """The accounts of a registry.

    authorizer  of all callers but robots and functions
    robots      those of this registry
    functions   the service accounts of its functions, a role each
    """

    authorizer: Authorizer
    robots: Robots
    functions: Sequence[FunctionAccount]


class RestrictedAuthenticator:
    """Authenticator of a registry that is private except for its public repositories."""

    def __init__(self, accounts: Accounts, keys: KeyRing, url: str, public: Sequence[str]) -> None:
        """Create the authenticator.

        Args:
            accounts: authenticate and authorize callers.
            keys: sign tokens and encrypt cursors.
            url: the registry's address, as clients see it.
            public: patterns of the repositories that anonymous callers may pull from.
        """
        self._authorizer, self._robots, functions = accounts
        self._functions = {each.role.action: each for each in functions}
        self._keys = keys
        self._realm = f"{url}/v2/token"
        self._service = urlsplit(url).netloc
        self._public = tuple(public)
        self._tokens = Tokens(keys, url, self._service, public)

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """See Authenticator.authenticate."""
        parsed = credentials.parse_authorization(authorization)
        if parsed is None:
            return AnonymousCaller(self._public)
        return self.log_in(*parsed, client) if isinstance(parsed, Basic) else self._tokens.verify(parsed.token)

    def authenticate_function(self, action: Action, authorization: str) -> Caller:
        """See Authenticator.authenticate_function."""
        return self._functions[action].authenticate(authorization)

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """See Authenticator.log_in."""
        if not secret or len(secret) > credentials.MAX_LENGTH or len(user) > credentials.MAX_LENGTH:
            raise RegistryError(UNAUTHORIZED)
        authorizer = self._robots if user.startswith(USER_PREFIX) else self._authorizer
        return AuthenticatedCaller(authorizer.identify(user, secret, client), self._public)

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """See Authenticator.issue_token."""
        if isinstance(caller, TokenCaller):
            # Otherwise a token could be renewed forever without consulting the authorizer again.
            raise RegistryError(UNAUTHORIZED)
        # Newest first: if the query budget runs out, it was spent on what the client needs now.
        decided = [_decide_scope(caller, scope) for scope in reversed(scopes)]
        granted, refused = ([pair[index] for pair in reversed(decided) if pair[index].actions] for index in (0, 1))
        return self._tokens.issue(caller, isinstance(caller, AnonymousCaller), granted, refused)

    def remaining_life(self, caller: Caller) -> float:
        """See Authenticator.remaining_life."""
        return self._tokens.remaining_life(caller) if isinstance(caller, TokenCaller) else inf

    def challenge(self, scope: str, error: str) -> str:
        """See Authenticator.challenge. The realm is the configured URL, never the Host header."""
        parts = {"realm": self._realm, "service": self._service, "scope": scope, "error": error}
        return "Bearer " + ",".join(f'{name}="{value}"' for name, value in parts.items() if value)

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """See Authenticator.seal_cursor."""
        return cursors.seal(self._keys.robots, caller.principal, text)

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """See Authenticator.unseal_cursor."""
        return cursors.unseal(self._keys.robots, caller.principal, cursor)

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        """See Authenticator.required_permission."""
        # An e-mail address may begin with the prefix, too.
        if principal.startswith(USER_PREFIX) and "@" not in principal:
            return self._robots.required_permission(action, repository)
        return self._authorizer.required_permission(action, repository)


@dataclass(frozen=True, slots=True)
class UnrestrictedCaller:
    """Caller of an open registry: anonymous, with all permissions."""

    principal: str = ""

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide. Allow every action."""
        return Decision(Effect.ALLOWED, "the registry is open")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return ("*",)


UNRESTRICTED: Final = UnrestrictedCaller()


class OpenAuthenticator:
    """Authenticator of a registry that only its own machine can reach: every caller has all permissions."""

    def authenticate(self, authorization: str, client: ClientAddress) -> Caller:
        """See Authenticator.authenticate. The header is ignored."""
        return UNRESTRICTED

    def authenticate_function(self, action: Action, authorization: str) -> Caller:
        """See Authenticator.authenticate_function. Everything is permitted."""
        return UNRESTRICTED

    def log_in(self, user: str, secret: str, client: ClientAddress) -> Caller:
        """See Authenticator.log_in."""
        return UNRESTRICTED

    def issue_token(self, caller: Caller, scopes: Sequence[Scope]) -> Token:
        """See Authenticator.issue_token. This registry needs no tokens, so it issues none."""
        raise RegistryError(NOT_FOUND)

    def remaining_life(self, caller: Caller) -> float:
        """See Authenticator.remaining_life."""
        return inf

    def challenge(self, scope: str, error: str) -> str:
        """See Authenticator.challenge."""
        raise AssertionError("an open registry refuses no caller")

    def seal_cursor(self, caller: Caller, text: str) -> str:
        """See Authenticator.seal_cursor. Only deleted repositories are hidden here, so the text is not encrypted."""
        return cursors.CURSOR_PREFIX + text

    def unseal_cursor(self, caller: Caller, cursor: str) -> str:
        """See Authenticator.unseal_cursor."""
        return cursor.removeprefix(cursors.CURSOR_PREFIX)[: cursors.MAX_CURSOR]

    def required_permission(self, principal: str, action: Action, repository: str) -> RequiredPermission:
        """See Authenticator.required_permission."""
        raise AssertionError("an open registry refuses no caller")


def _decide_scope(caller: Caller, scope: Scope) -> tuple[Scope, Scope]:
    """Return the granted part and the refused part of a scope; undetermined actions are in neither."""
    if scope == CATALOG:
        allowed = caller.decide(Action.LIST, scope.name).allowed
        return (scope, replace(scope, actions=())) if allowed else (replace(scope, actions=()), scope)
    actions = [action for action in ON_REPOSITORIES if action.value in scope.actions]
    effects = {action.value: caller.decide(action, scope.name).effect for action in actions}
    granted, refused = (
        repository(scope.name, [action for action, effect in effects.items() if effect is selected])
        for selected in (Effect.ALLOWED, Effect.DENIED)
    )
    return granted, refused
