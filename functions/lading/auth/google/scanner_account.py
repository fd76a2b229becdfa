"""Authentication of the scanner: a service account that works for the registry, by its ID token.

The scanner sends the token as a password (RFC 7617), with the user name `scanner`. Cloud Run removes the signature of
an ID token after `Bearer` where it has verified it, and the registry, which anonymous clients may call as well,
verifies each signature itself. `Bearer` is accepted too.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lading.auth.access import Action, Decision, allow_or_deny
from lading.auth.credentials import Basic, parse_authorization
from lading.auth.google.id_tokens import IdTokens
from lading.registry.errors import DENIED, UNAUTHORIZED, RegistryError

USER: Final = "scanner"


@dataclass(frozen=True, slots=True)
class ScannerCaller:
    """The scanner, which may do nothing but SCAN; and pull and push what a token that the registry gives it grants."""

    principal: str

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide."""
        return allow_or_deny(action is Action.SCAN, "the account of LADING_SCANNER")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        return ()


class ScannerAccount:
    """The service account of one registry's scanner. Thread-safe."""

    def __init__(self, account: str, id_tokens: IdTokens) -> None:
        """Accept tokens of `account`, an e-mail address; none if it is ""."""
        self._account = account
        self._id_tokens = id_tokens

    def authenticate(self, authorization: str) -> ScannerCaller:
        """Return the scanner if the Authorization header has a token of its account.

        Raises:
            RegistryError: UNAUTHORIZED if the token is invalid, DENIED if it is another account's or there is no
                scanner, UNAVAILABLE if Google's keys cannot be fetched.
        """
        if not self._account:
            raise RegistryError(DENIED, {"reason": "LADING_SCANNER names no scanner of this registry"})
        credentials = parse_authorization(authorization)
        if credentials is None or (isinstance(credentials, Basic) and credentials.user != USER):
            raise RegistryError(UNAUTHORIZED)
        token = credentials.secret if isinstance(credentials, Basic) else credentials.token
        email = self._id_tokens.email(token)
        if not hmac.compare_digest(email.encode(), self._account.encode()):
            raise RegistryError(DENIED, {"reason": "only the account of LADING_SCANNER may call this"})
        return ScannerCaller(email)
