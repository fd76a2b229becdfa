"""Identity of a Google token: its principal and its OAuth scopes.

token                          identity from                               principal            scopes
access token                   tokeninfo                                   e-mail, else number  those of tokeninfo
… that names no account        tokeninfo                                   token:HASH           those of tokeninfo
signed by a service account    its own claims, once Google has accepted it e-mail               its `scope`, if any
federated, and any other       none, though Google accepts it              federated:HASH       unknown

HASH is an HMAC of the token under a key of the registry: the same in all instances for the lifetime of the token, and
different for every token. Google's Security Token Service could report the subject of a federated token
(v1/introspect), but accepts that request from registered OAuth clients only.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lading.auth.credentials import claims_of, is_jwt

SERVICE_ACCOUNT: Final = ".gserviceaccount.com"

_NUMBER: Final = re.compile(r"\d{15,30}", re.ASCII)
"""An account number. `azp` is an OAuth client's id, shared by all its users, if it ends in
`.apps.googleusercontent.com`; in a service account's tokens it is the account's own number."""

HASH_LENGTH: Final = 16
"""Hexadecimal digits of a pseudonym: among 2^32 tokens, two would be expected to share one."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Identity of a token.

    principal  never ""
    scopes     OAuth scopes of the token; None if Google does not report them
    """

    principal: str
    scopes: frozenset[str] | None


class Pseudonyms:
    """Principals for tokens that name no account. Thread-safe."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        """Derive them from the secret that `key` returns, the same in all instances."""
        self._key = key

    def of(self, kind: str, token: str) -> str:
        """Return the pseudonym of a token: KIND:HASH."""
        # A robot's name has no colon, so no other message under this key is the same.
        message = f"{kind}:token\0{token}".encode()
        return f"{kind}:{hmac.digest(self._key(), message, 'sha256').hex()[:HASH_LENGTH]}"


def identity_from_tokeninfo(info: Mapping[str, Any], token: str, pseudonyms: Pseudonyms) -> TokenIdentity:
    """Return the identity of a token from the fields that tokeninfo returned."""
    scope = info.get("scope")
    principal = _email(info) or _number(info) or pseudonyms.of("token", token)
    return TokenIdentity(principal, frozenset(scope.split()) if isinstance(scope, str) else None)


def identity_without_tokeninfo(token: str, pseudonyms: Pseudonyms) -> TokenIdentity:
    """Return the identity of a token that Google accepts, although tokeninfo does not know it.

    Google responded to a request with this token, so it verified the signature if it is a JWT: the claims are those
    that the service account signed.
    """
    claims = claims_of(token) if is_jwt(token) else {}
    email, scope = claims.get("sub"), claims.get("scope")
    if not isinstance(email, str) or not email.endswith(SERVICE_ACCOUNT) or claims.get("iss") != email:
        return TokenIdentity(pseudonyms.of("federated", token), None)
    # With an audience instead of scopes the token is valid for that whole API, and does not tell read from write.
    is_scoped = "aud" not in claims
    return TokenIdentity(email, frozenset(scope.split()) if is_scoped and isinstance(scope, str) else None)


def _email(info: Mapping[str, Any]) -> str:
    email = info.get("email")
    verified = str(info.get("email_verified", "true")).lower() == "true"
    return email if verified and isinstance(email, str) else ""


def _number(info: Mapping[str, Any]) -> str:
    if info.get("sub"):
        return str(info["sub"])
    azp = str(info.get("azp", ""))
    return azp if _NUMBER.fullmatch(azp) else ""
