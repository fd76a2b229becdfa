"""Callers by Google's tokens: who they are, and what Google IAM lets them do, asked with their own token.

Where the questions go is one of policy_bucket and project. Answers are remembered by the hash of the token, never by
the token, for a minute where they are yes, and for seconds where they are no; a listing's for a minute.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final, Protocol

from lading.auth.access import ON_REPOSITORIES, Action, Decision, Effect, RequiredPermission, allow_or_deny
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
"""The scopes of which a token that changes something needs one."""

UNSCOPED_ACTIONS: Final = {
    "refuse": frozenset[Action](),
    "pull": frozenset({Action.PULL}),
    "push": frozenset({Action.PULL, Action.PUSH}),
    "delete": frozenset(ON_REPOSITORIES),
}
"""What a token may be used for at most whose scopes Google does not tell, by setting. Within that, IAM decides."""

MAX_LISTINGS: Final = 8
MAX_WAITING_LISTINGS: Final = 16
"""Listings at a time, and that may wait: each asks about all folders that are named, 8 at a time."""


@dataclass(frozen=True, slots=True)
class GrantedActions:
    """What a token may do to a repository: where that was said, and what was asked on the way."""

    actions: frozenset[Action]
    resource: str
    consulted: tuple[str, ...]


class PermissionSource(Protocol):
    """Where IAM is asked. Methods that ask raise UNAUTHORIZED where Google does not take the token, and UNAVAILABLE."""

    def granted_actions(self, subject: IamSubject, repository: str) -> GrantedActions:
        """What the token may do to a repository. Raises QueryBudgetExceededError, too."""
        ...

    def readable_patterns(self, subject: IamSubject) -> Sequence[str]:
        """Patterns of the repositories that the token may pull from."""
        ...

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes of which a token needs one to ask."""
        ...

    def accepts_token(self, subject: IamSubject) -> bool:
        """Return whether Google takes the token, and answers what it asks."""
        ...

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.needed."""
        ...


class IamAuthorizer:
    """Authorizer by Google IAM."""

    def __init__(
        self, google: GoogleClient, permission_source: PermissionSource, pseudonyms: Pseudonyms, unscoped: str = "pull"
    ) -> None:
        """Ask `permission_source` what tokens may do.

        Args:
            google: is asked what it knows of a token.
            permission_source: where IAM is asked.
            pseudonyms: name callers whose tokens do not.
            unscoped: a key of UNSCOPED.
        """
        self._google = google
        self._permission_source = permission_source
        self._pseudonyms = pseudonyms
        self._unscoped = unscoped
        self._identities: ResultCache[bytes, TokenIdentity | None] = ResultCache(lambda identity: identity is not None)
        self._decisions: ResultCache[tuple[bytes, str, Action], Decision] = ResultCache(
            lambda decision: decision.allowed
        )
        # By token where something is readable, by principal where nothing is.
        self._readable: ResultCache[bytes | str, Sequence[str]] = ResultCache(lambda _: True)
        self._recent = RecentLogins()
        self._keys = ServiceAccountKeys()
        self._listings = Bulkhead(MAX_LISTINGS, MAX_WAITING_LISTINGS, reserved=MAX_LISTINGS // 4, principal_share=1)

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> "IamCaller":
        """See Authorizer.identify. A token that tokeninfo does not know may still be good: IAM is asked whether."""
        is_key = user in KEY_USERS
        token = self._keys.token(user, secret, client.network) if is_key else google_token(user, secret)
        hashed = sha256(token.encode()).digest()
        new = IamSubject(token, hashed, client.network, self._recent.knows("", client.network))
        identity = self._identities.get(hashed, lambda: self._identity(new))
        if identity is None:
            raise RegistryError(UNAUTHORIZED)
        if is_key:
            self._keys.confirm(user, secret, client.network)
        if identity.scopes is None and not UNSCOPED_ACTIONS[self._unscoped]:
            raise RegistryError(UNAUTHORIZED, {"reason": "tokens whose scopes Google does not tell are refused here"})
        known = self._recent.knows(identity.principal, client.network)
        return IamCaller(self, replace(new, known=known, identity=identity), identity)

    def required_permission(self, action: Action, repository: str) -> RequiredPermission:
        """See Authorizer.needed."""
        return self._permission_source.required_permission(action, repository)

    def decide(self, caller: "IamCaller", action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in ON_REPOSITORIES:
            return Decision(Effect.ALLOWED, "Google takes the token")
        obstacle = self._obstacle(caller.identity, action)
        if obstacle:
            return allow_or_deny(False, obstacle, ["tokeninfo"])
        question = (caller.subject.hashed, repository, action)
        try:
            return self._decisions.get(question, lambda: self._ask(caller.subject, action, repository))
        except QueryBudgetExceededError:
            # Google has not said no: a later request, which names fewer, may be answered.
            return Decision(Effect.UNDETERMINED, f"a request asks Google {MAX_QUERIES} questions at most")

    def readable_patterns(self, caller: "IamCaller") -> Sequence[str]:
        """See Caller.readable. A principal lists once at a time, and its next listing is what the one before found."""
        if self._obstacle(caller.identity, Action.PULL):
            return ()
        found = self._cached_listing(caller.subject)
        if found is None:
            with self._listings.slot(caller.subject.network, caller.subject.known, caller.principal):
                # Another listing by the same principal may have ended meanwhile.
                found = self._cached_listing(caller.subject)
                if found is None:
                    found = self._list(caller.subject)
        return found

    def _cached_listing(self, subject: IamSubject) -> Sequence[str] | None:
        """Return what a listing found lately, or None."""
        found = self._readable.peek(subject.hashed)
        return self._readable.peek(subject.principal) if found is None else found

    def _list(self, subject: IamSubject) -> Sequence[str]:
        found = self._permission_source.readable_patterns(subject)
        if found:
            self._remember_grant(subject)
        return self._readable.put(subject.hashed if found else subject.principal, found)

    def _ask(self, subject: IamSubject, action: Action, repository: str) -> Decision:
        """One question answers all actions, so all are remembered."""
        held = self._permission_source.granted_actions(subject, repository)
        if held.actions:
            self._remember_grant(subject)
        decisions = {}
        for each in ON_REPOSITORIES:
            allowed = each in held.actions
            permission = self._permission_source.required_permission(each, repository).permission
            rule = f"{permission} is {'' if allowed else 'not '}granted on {held.resource}"
            decisions[each] = allow_or_deny(allowed, rule, held.consulted)
            self._decisions.put((subject.hashed, repository, each), decisions[each])
        return decisions[action]

    def _remember_grant(self, subject: IamSubject) -> None:
        """Remember that something was granted: the caller, and new tokens from its network, go first from now on."""
        self._recent.add(subject.principal, subject.network)
        self._recent.add("", subject.network)

    def _identity(self, subject: IamSubject) -> TokenIdentity | None:
        """Return whose the token is, or None for a bad one."""
        info = self._google.token_info(subject)
        if info is not None:
            return identity_from_tokeninfo(info, subject.token, self._pseudonyms)
        return (
            identity_without_tokeninfo(subject.token, self._pseudonyms)
            if self._permission_source.accepts_token(subject)
            else None
        )

    def _obstacle(self, identity: TokenIdentity, action: Action) -> str:
        """Return why this token may not be used for the action, whatever its account may do; "" where it may.

        testIamPermissions says what the account may do, and not what this token of its was issued for.
        """
        if identity.scopes is None:
            if action in UNSCOPED_ACTIONS[self._unscoped]:
                return ""
            return f"Google does not tell the token's scopes, and --unscoped-tokens is {self._unscoped}"
        wanted = self._permission_source.scopes if action is Action.PULL else WRITE_SCOPES
        return f"none of the token's scopes is one of {', '.join(sorted(wanted))}" * identity.scopes.isdisjoint(wanted)


@dataclass(frozen=True, slots=True, repr=False)
class IamCaller:
    """Caller by one of Google's tokens."""

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
        """See Caller.readable."""
        return self.authorizer.readable_patterns(self)
