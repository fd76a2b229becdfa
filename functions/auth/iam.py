"""Callers by Google's tokens: who they are, and what Google IAM lets them do, asked with their own token.

Where the questions go is one of policy_bucket and project. Answers are remembered by the hash of the token, never by
the token, for a minute where they are yes, and for seconds where they are no.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from functions.auth.access import ON_REPOSITORIES, Action, Decision, Needed, Verdict, decided
from functions.auth.cache import Answers
from functions.auth.credentials import CLOUD_PLATFORM, claims_of, google_token
from functions.auth.google import Google
from functions.client_address import NO_ADDRESS, ClientAddress
from functions.registry.errors import UNAUTHORIZED, RegistryError

WRITING: Final = frozenset(
    {
        CLOUD_PLATFORM,
        "https://www.googleapis.com/auth/devstorage.read_write",
        "https://www.googleapis.com/auth/devstorage.full_control",
    }
)
"""The scopes of which a token that changes something needs one."""

SERVICE_ACCOUNT: Final = ".gserviceaccount.com"


@dataclass(frozen=True, slots=True)
class Held:
    """What a token may do to a repository: where that was said, and what was asked on the way."""

    actions: frozenset[Action]
    where: str
    asked: tuple[str, ...]


class Questions(Protocol):
    """Where IAM is asked. Methods that ask raise UNAUTHORIZED where Google does not take the token, and UNAVAILABLE."""

    def held(self, token: str, repository: str) -> Held:
        """What the token may do to a repository."""
        ...

    def readable(self, token: str) -> Sequence[str]:
        """Patterns of the repositories that the token may pull from."""
        ...

    def check(self, token: str) -> None:
        """Ask whatever there is to ask of a token that may be able to do nothing."""
        ...

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        ...


class IamAuthorizer:
    """Authorizer by Google IAM."""

    def __init__(self, google: Google, questions: Questions) -> None:
        """Ask `questions` what tokens may do."""
        self._google = google
        self._questions = questions
        self._known: Answers[bytes, Mapping[str, Any] | None] = Answers(lambda info: info is not None)
        self._taken: Answers[bytes, bool] = Answers(bool)
        self._decisions: Answers[tuple[bytes, str, Action], Decision] = Answers(lambda decision: decision.allowed)
        self._readable: Answers[bytes, Sequence[str]] = Answers(bool)

    def identify(self, user: str, secret: str, client: ClientAddress = NO_ADDRESS) -> "IamCaller":
        """See Authorizer.identify. A token that tokeninfo does not know may still be good: IAM is asked whether."""
        token = google_token(user, secret)
        hashed = sha256(token.encode()).digest()
        info = self._known.get(hashed, lambda: self._google.token_info(token))
        if info is None and not self._taken.get(hashed, lambda: self._is_taken(token)):
            raise RegistryError(UNAUTHORIZED)
        return IamCaller(self, token, hashed, _named_by(token) if info is None else _name(info), info)

    def needed(self, action: Action, repository: str) -> Needed:
        """See Authorizer.needed."""
        return self._questions.needed(action, repository)

    def decide(self, caller: "IamCaller", action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        if action not in ON_REPOSITORIES:
            return Decision(Verdict.ALLOWED, "Google takes the token")
        if action is not Action.PULL and not caller.can_write:
            return decided(False, f"none of the token's scopes is one of {', '.join(sorted(WRITING))}", ["tokeninfo"])
        return self._decisions.get((caller.hashed, repository, action), lambda: self._ask(caller, action, repository))

    def readable(self, caller: "IamCaller") -> Sequence[str]:
        """See Caller.readable."""
        return self._readable.get(caller.hashed, lambda: self._questions.readable(caller.token))

    def _ask(self, caller: "IamCaller", action: Action, repository: str) -> Decision:
        """One question answers all actions, so all are remembered."""
        held = self._questions.held(caller.token, repository)
        decisions = {}
        for each in ON_REPOSITORIES:
            allowed = each in held.actions
            permission = self._questions.needed(each, repository).permission
            rule = f"{permission} is {'' if allowed else 'not '}granted on {held.where}"
            decisions[each] = decided(allowed, rule, held.asked)
            self._decisions.put((caller.hashed, repository, each), decisions[each])
        return decisions[action]

    def _is_taken(self, token: str) -> bool:
        try:
            self._questions.check(token)
        except RegistryError as error:
            if error.row is UNAUTHORIZED:
                return False
            raise
        return True


@dataclass(frozen=True, slots=True, repr=False)
class IamCaller:
    """Caller by one of Google's tokens; `info` is what tokeninfo says of it, or None."""

    authorizer: IamAuthorizer
    token: str
    hashed: bytes
    principal: str
    info: Mapping[str, Any] | None

    @property
    def can_write(self) -> bool:
        """Whether the token's scopes, where they are known, let it change anything.

        testIamPermissions says what the account may do, and not what this token of its was meant for.
        """
        return self.info is None or not WRITING.isdisjoint(str(self.info.get("scope", "")).split())

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        return self.authorizer.decide(self, action, repository)

    def readable(self) -> Sequence[str]:
        """See Caller.readable."""
        return self.authorizer.readable(self)


def _name(info: Mapping[str, Any]) -> str:
    """Whom tokeninfo names: by e-mail, else by number, else by the program that the token was issued to."""
    if info.get("email") and str(info.get("email_verified", "true")).lower() == "true":
        return str(info["email"])
    return str(info.get("sub") or info.get("azp") or "")


def _named_by(token: str) -> str:
    """The service account that signed the token itself, now that Google has taken it; "" for a federated one."""
    claims = claims_of(token)
    email = claims.get("sub")
    signed_itself = isinstance(email, str) and email.endswith(SERVICE_ACCOUNT) and claims.get("iss") == email
    return str(email) if signed_itself else ""
