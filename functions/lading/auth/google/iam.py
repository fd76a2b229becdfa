"""Authentication with Google tokens, and authorization by Google IAM, queried with the caller's own token.

The policies are those of `policy_bucket` or of `project`. Results are cached by the hash of the token, never by the
token: positive ones and listings for a minute, negative ones for seconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Protocol

from lading.auth.access import ON_REPOSITORIES, RIGHTS, Action, Decision, Effect, RequiredPermission, allow_or_deny
from lading.auth.bulkhead import Bulkhead
from lading.auth.cache import ResultCache
from lading.auth.credentials import CLOUD_PLATFORM, KEY_USERS, google_token
from lading.auth.google.client import GoogleClient
from lading.auth.google.google_tokens import (
    Pseudonyms,
    TokenIdentity,
    identity_from_tokeninfo,
    identity_without_tokeninfo,
)
from lading.auth.google.service_account_keys import ServiceAccountKeys
from lading.auth.google.subject import MAX_QUERIES, IamSubject, QueryBudgetExceededError
from lading.auth.recent_logins import RecentLogins
from lading.http.client_address import NO_ADDRESS, ClientAddress
from lading.registry.errors import UNAUTHORIZED, RegistryError

WRITE_SCOPES: Final = frozenset(
    {
        CLOUD_PLATFORM,
        "https://www.googleapis.com/auth/devstorage.read_write",
        "https://www.googleapis.com/auth/devstorage.full_control",
    }
)
"""OAuth scopes of which a token needs one to push or delete."""

UNSCOPED_ACTIONS: Final = {
    "refuse": frozenset[Action](),
    "pull": frozenset({Action.PULL}),
    "push": frozenset({Action.PULL, Action.PUSH}),
    "delete": frozenset(ON_REPOSITORIES),  # not MANAGE, whatever IAM says
}
"""Upper bound of the actions of a token whose scopes Google does not report, by setting. Within it, IAM decides."""

MAX_LISTINGS: Final = 8
MAX_WAITING_LISTINGS: Final = 16
"""Concurrent listings, and listings that may wait: each queries all configured folders, 8 at a time."""


@dataclass(frozen=True, slots=True)
class GrantedActions:
    """The actions that IAM grants to a token on a repository.

    resource   the resource whose policies decided
    consulted  the resources that were queried, in order, with their results, as text for people
    """

    actions: frozenset[Action]
    resource: str
    consulted: tuple[str, ...]


class PermissionSource(Protocol):
    """The resource whose IAM policies decide.

    Methods that query Google raise UNAUTHORIZED if it rejects the token, and UNAVAILABLE.
    """

    def granted_actions(self, subject: IamSubject, repository: str) -> GrantedActions:
        """Return the actions that are granted on a repository. Also raises QueryBudgetExceededError."""
        ...

    def may_manage(self, subject: IamSubject, scope: str) -> GrantedActions:
        """Return MANAGE if it is granted on the registry (""), or on a namespace, as in `team/`; else nothing.

        A query of its own, so that no other request depends on its permissions.
        """
        ...

    def readable_patterns(self, subject: IamSubject) -> Sequence[str]:
        """Return patterns of the repositories that the token may pull from."""
        ...

    @property
    def scopes(self) -> frozenset[str]:
        """The OAuth scopes of which a token needs one for queries."""
        ...

    def accepts_token(self, subject: IamSubject) -> bool:
        """Return whether Google accepts the token, and its queries."""
        ...

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        ...


class IamAuthorizer:
    """Authorizer by Google IAM."""

    def __init__(
        self, google: GoogleClient, permission_source: PermissionSource, pseudonyms: Pseudonyms, unscoped: str = "pull"
    ) -> None:
        """Create the authorizer.

        Args:
            google: client of tokeninfo.
            permission_source: the resource whose policies decide.
            pseudonyms: name callers whose tokens name no account.
            unscoped: a key of UNSCOPED_ACTIONS.
        """
        self._google = google
        self._permission_source = permission_source
        self._pseudonyms = pseudonyms
        self._unscoped = unscoped
        self._identities: ResultCache[bytes, TokenIdentity | None] = ResultCache(lambda identity: identity is not None)
        self._decisions: ResultCache[tuple[bytes, str, Action], Decision] = ResultCache(
            lambda decision: decision.allowed
        )
        # Keyed by token if something is readable, by principal if nothing is.
        self._readable: ResultCache[bytes | str, Sequence[str]] = ResultCache(lambda _: True)
        self._recent = RecentLogins()
        self._keys = ServiceAccountKeys()
        self._listings = Bulkhead(MAX_LISTINGS, MAX_WAITING_LISTINGS, reserved=MAX_LISTINGS // 4, principal_share=1)

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> "IamCaller":
        """See Authorizer.identify. A token that tokeninfo rejects may be valid if the permission source accepts it."""
        is_key = user in KEY_USERS
        token = self._keys.token(user, secret, client.network) if is_key else google_token(user, secret)
        hashed = sha256(token.encode()).digest()
        subject = IamSubject(token, hashed, client.network, self._recent.contains("", client.network))
        identity = self._identities.get(hashed, lambda: self._identify_token(subject))
        if identity is None:
            raise RegistryError(UNAUTHORIZED)
        if is_key:
            self._keys.confirm(user, secret, client.network)
        if identity.scopes is None and not UNSCOPED_ACTIONS[self._unscoped]:
            raise RegistryError(UNAUTHORIZED, {"reason": "this registry refuses tokens with unknown scopes"})
        known = self._recent.contains(identity.principal, client.network)
        return IamCaller(self, replace(subject, known=known, identity=identity), identity)

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.required_permission."""
        return self._permission_source.required_permission(action, repository)

    def decide(self, caller: "IamCaller", action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in RIGHTS:
            return Decision(Effect.ALLOWED, "Google accepts the token")
        restriction = self._token_restriction(caller.identity, action)
        if restriction:
            return allow_or_deny(False, restriction, ["tokeninfo"])
        key = (caller.subject.hashed, repository, action)
        try:
            return self._decisions.get(key, lambda: self._query(caller.subject, action, repository))
        except QueryBudgetExceededError:
            # Not a denial: a later request that names fewer repositories may be decided.
            return Decision(Effect.UNDETERMINED, f"one request makes at most {MAX_QUERIES} queries to Google IAM")

    def readable_patterns(self, caller: "IamCaller") -> Sequence[str]:
        """See Caller.readable_patterns. A principal has one listing at a time; concurrent ones share its result."""
        if self._token_restriction(caller.identity, Action.PULL):
            return ()
        patterns = self._cached_listing(caller.subject)
        if patterns is None:
            with self._listings.slot(caller.subject.network, caller.subject.known, caller.principal):
                # Another listing by the same principal may have completed meanwhile.
                patterns = self._cached_listing(caller.subject)
                if patterns is None:
                    patterns = self._list(caller.subject)
        return patterns

    def _cached_listing(self, subject: IamSubject) -> Sequence[str] | None:
        """Return the cached result of a listing, or None."""
        patterns = self._readable.peek(subject.hashed)
        return self._readable.peek(subject.principal) if patterns is None else patterns

    def _list(self, subject: IamSubject) -> Sequence[str]:
        patterns = self._permission_source.readable_patterns(subject)
        if patterns:
            self._remember_grant(subject)
        return self._readable.put(subject.hashed if patterns else subject.principal, patterns)

    def _query(self, subject: IamSubject, action: Action, repository: str) -> Decision:
        """Query IAM, and cache the decisions about all actions: one query covers them."""
        source, is_manage = self._permission_source, action is Action.MANAGE
        granted = (source.may_manage if is_manage else source.granted_actions)(subject, repository)
        if granted.actions:
            self._remember_grant(subject)
        decisions = {}
        for each in (action,) if is_manage else ON_REPOSITORIES:
            allowed = each in granted.actions
            permission = source.required_permission(each, repository).permission
            rule = f"{permission} is {'' if allowed else 'not '}granted on {granted.resource}"
            decisions[each] = allow_or_deny(allowed, rule, granted.consulted)
            self._decisions.put((subject.hashed, repository, each), decisions[each])
        return decisions[action]

    def _remember_grant(self, subject: IamSubject) -> None:
        """Give priority to this caller, and to new tokens from its network, since something was granted to it."""
        self._recent.add(subject.principal, subject.network)
        self._recent.add("", subject.network)

    def _identify_token(self, subject: IamSubject) -> TokenIdentity | None:
        """Return the identity of the token, or None if it is invalid."""
        info = self._google.token_info(subject)
        if info is not None:
            return identity_from_tokeninfo(info, subject.token, self._pseudonyms)
        return (
            identity_without_tokeninfo(subject.token, self._pseudonyms)
            if self._permission_source.accepts_token(subject)
            else None
        )

    def _token_restriction(self, identity: TokenIdentity, action: Action) -> str:
        """Return why the token's scopes exclude the action, whatever its account may do, or "" if they do not.

        testIamPermissions reports the permissions of the account, and does not consider the scopes of the token.
        """
        if identity.scopes is None:
            if action in UNSCOPED_ACTIONS[self._unscoped]:
                return ""
            return f"Google does not report the token's scopes, and --unscoped-tokens is {self._unscoped}"
        required = self._permission_source.scopes if action is Action.PULL else WRITE_SCOPES
        if identity.scopes.isdisjoint(required):
            return f"none of the token's scopes is one of {', '.join(sorted(required))}"
        return ""


@dataclass(frozen=True, slots=True, repr=False)
class IamCaller:
    """Caller authenticated by a Google token."""

    authorizer: IamAuthorizer
    subject: IamSubject
    identity: TokenIdentity

    @property
    def principal(self) -> str:
        """See Caller.principal."""
        return self.identity.principal

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        return self.authorizer.decide(self, action, repository)

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return self.authorizer.readable_patterns(self)
