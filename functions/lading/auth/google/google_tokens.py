"""What one of Google's tokens says of itself: whose it is, and what it was issued for.

token                          known from                                  principal            scopes
access token                   tokeninfo                                   e-mail, else number  those of tokeninfo
… that names no account        tokeninfo                                   token:HASH           those of tokeninfo
signed by a service account    its own claims, once Google has taken it    e-mail               its `scope`, if any
federated, and any other       nothing, though Google takes it             federated:HASH       not known

HASH is an HMAC of the token under a key of the registry: the same in all instances for the life of the token, and no
other token's. Google's Security Token Service could tell the subject of a federated token (v1/introspect), but takes
that question from registered OAuth clients.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lading.auth.credentials import claims_of, is_jwt

SERVICE_ACCOUNT: Final = ".gserviceaccount.com"

_NUMBER: Final = re.compile(r"\d{15,30}", re.ASCII)
"""The number of an account. A client's id in `azp` ends in `.apps.googleusercontent.com` and stands for all its users;
a service account's tokens have its own number there."""

HASH_LENGTH: Final = 16
"""Hexadecimal digits of a pseudonym: two tokens in 2^32 would be expected to share one."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Whose a token is.

    principal  never ""
    scopes     that it was issued for; None where Google does not tell
    """

    principal: str
    scopes: frozenset[str] | None


class Pseudonyms:
    """Names of tokens that name no account. Any thread may use it."""

    def __init__(self, key: Callable[[], bytes]) -> None:
        """Make them with the secret that `key` returns, the same in all instances."""
        self._key = key

    def of(self, kind: str, token: str) -> str:
        """Return the pseudonym of a token: KIND:HASH."""
        # No robot's name has a colon: nothing else under this key has the same message.
        message = f"{kind}:token\0{token}".encode()
        return f"{kind}:{hmac.digest(self._key(), message, 'sha256').hex()[:HASH_LENGTH]}"


def identity_from_tokeninfo(info: Mapping[str, Any], token: str, pseudonyms: Pseudonyms) -> TokenIdentity:
    """Return the identity of a token of which tokeninfo has told these fields."""
    scope = info.get("scope")
    principal = _email(info) or _number(info) or pseudonyms.of("token", token)
    return TokenIdentity(principal, frozenset(scope.split()) if isinstance(scope, str) else None)


def identity_without_tokeninfo(token: str, pseudonyms: Pseudonyms) -> TokenIdentity:
    """Return the identity of a token that Google has taken, though tokeninfo does not know it.

    Google has answered a request with this token, so it has verified the signature of a JWT: what is in the claims is
    what the service account wrote there.
    """
    claims = claims_of(token) if is_jwt(token) else {}
    email, scope = claims.get("sub"), claims.get("scope")
    if not isinstance(email, str) or not email.endswith(SERVICE_ACCOUNT) or claims.get("iss") != email:
        return TokenIdentity(pseudonyms.of("federated", token), None)
    # With an audience instead of scopes the token is good for all of that API, and says nothing of reading or writing.
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
