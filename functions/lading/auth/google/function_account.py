"""Authentication of functions that work for the registry over HTTP: service accounts, by their ID tokens.

    scan    Action.SCAN     claims images, and posts results (lading.api.scanner)
    attest  Action.ATTEST   asks which images pass the policies (lading.api.attestations)

A function sends the token as a password (RFC 7617), with the user name of its row. Cloud Run removes the signature of
an ID token after `Bearer` where it has verified it, and the registry, which anonymous clients may call as well,
verifies each signature itself. `Bearer` is accepted too.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from lading.auth.access import Action, Decision, allow_or_deny
from lading.auth.credentials import Basic, parse_authorization
from lading.auth.google.id_tokens import IdTokens
from lading.registry.errors import DENIED, UNAUTHORIZED, RegistryError


class FunctionRole(NamedTuple):
    """What a function may do.

    action    the only one
    user      the user name that its ID token is the password of
    variable  the setting that names its account
    """

    action: Action
    user: str
    variable: str


SCANNER: Final = FunctionRole(Action.SCAN, "scanner", "LADING_SCANNER")
ATTESTER: Final = FunctionRole(Action.ATTEST, "attester", "LADING_ATTESTER")


@dataclass(frozen=True, slots=True)
class FunctionCaller:
    """A function, which may do nothing but its action; and what a token that the registry gives the scanner grants."""

    principal: str
    role: FunctionRole

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        return allow_or_deny(action is self.role.action, f"the account of {self.role.variable}")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return ()


class FunctionAccount:
    """The service account of one function of a registry. Thread-safe."""

    def __init__(self, role: FunctionRole, account: str, id_tokens: IdTokens) -> None:
        """Accept tokens of `account`, an e-mail address; none if it is ""."""
        self.role = role
        self._account = account
        self._id_tokens = id_tokens

    def authenticate(self, authorization: str) -> FunctionCaller:
        """Return the function if the Authorization header has a token of its account.

        Raises:
            RegistryError: UNAUTHORIZED if the token is invalid, DENIED if it is another account's or there is no such
                function, UNAVAILABLE if Google's keys cannot be fetched.
        """
        variable = self.role.variable
        if not self._account:
            raise RegistryError(DENIED, {"reason": f"{variable} names no {self.role.user} of this registry"})
        credentials = parse_authorization(authorization)
        if credentials is None or (isinstance(credentials, Basic) and credentials.user != self.role.user):
            raise RegistryError(UNAUTHORIZED)
        token = credentials.secret if isinstance(credentials, Basic) else credentials.token
        email = self._id_tokens.email(token)
        if not hmac.compare_digest(email.encode(), self._account.encode()):
            raise RegistryError(DENIED, {"reason": f"only the account of {variable} may call this"})
        return FunctionCaller(email, self.role)
