"""The tokens that the fake of IAM takes: whose they are, and what tokeninfo says of them.

kind of token   in the world                      tokeninfo                    the APIs
access token    "tokens", with a `scope`          its fields                   check its scope
federated       "tokens", without a `scope`       refuses (400)                take it
self-signed     a JWT, by one of "keys"           refuses (400)                check its scope, or its audience
any other       none                              refuses (400)                401

The status of each refusal is a field of the world, and of one token alone where its entry has a field `tokeninfo`:

    "tokeninfo": {"unknown": 400, "federated": 400, "self-signed": 400}

The APIs check a token as ever, whatever tokeninfo answers. What this fake guesses, because no documentation says it:
what tokeninfo answers for federated and self-signed tokens, and that an API refuses a JWT with both `scope` and `aud`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

INVALID: Final = 400
"""What tokeninfo answers for a bad token."""

TOKEN_TTL: Final = 3600
"""Seconds that a self-signed token may live."""


class ApiError(Exception):
    """An error as Google's APIs give it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def member_of(world: Mapping[str, Any], token: str, scopes: Sequence[str], audience: str) -> str:
    """Return whose the token is, as policies name members.

    Args:
        world: the token may be known to.
        token: as a request brings it.
        scopes: of which an access token must have one.
        audience: of a self-signed token that has no scope (https://google.aip.dev/auth/4111).

    Raises:
        ApiError: 401 for a bad token, 403 for one without a scope that does.
    """
    known = world.get("tokens", {}).get(token)
    if known is None:
        return f"serviceAccount:{_signer(world, token, scopes, audience)}"
    if "scope" in known and not set(scopes) & set(known["scope"].split()):
        raise ApiError(403, "Request had insufficient authentication scopes.")
    if "principal" in known:
        return str(known["principal"])
    email = known["email"]
    return f"{'serviceAccount' if email.endswith('.gserviceaccount.com') else 'user'}:{email}"


def tokeninfo_of(world: Mapping[str, Any], token: str) -> Mapping[str, Any]:
    """Return what tokeninfo knows of an access token. Raises ApiError for any other."""
    known = world.get("tokens", {}).get(token, {})
    if "scope" not in known or "tokeninfo" in known:
        statuses = {"unknown": INVALID, "federated": INVALID, "self-signed": INVALID} | world.get("tokeninfo", {})
        raise ApiError(known.get("tokeninfo") or statuses[_kind(world, token)], "Invalid Value")
    return {name: known[name] for name in ("azp", "sub", "scope", "email") if name in known}


def _kind(world: Mapping[str, Any], token: str) -> str:
    import jwt

    if token in world.get("tokens", {}):
        return "federated"
    try:
        return "self-signed" if jwt.get_unverified_header(token).get("kid") in world.get("keys", {}) else "unknown"
    except jwt.PyJWTError:
        return "unknown"


def _signer(world: Mapping[str, Any], token: str, scopes: Sequence[str], audience: str) -> str:
    """The service account that has signed the token itself."""
    import jwt

    try:
        id = jwt.get_unverified_header(token)["kid"]
        key = world.get("keys", {})[id]
        options: Any = {"require": ["iat", "exp", "iss", "sub"], "verify_aud": False}
        claims = jwt.decode(token, key["public"], ["RS256"], options=options)
        if not claims["iss"] == claims["sub"] == key["email"] or claims["exp"] - claims["iat"] > TOKEN_TTL:
            raise KeyError("sub")
        if ("scope" in claims) == ("aud" in claims):
            raise KeyError("scope")
        if not set(scopes) & set(str(claims.get("scope", "")).split()) and claims.get("aud") != audience:
            raise KeyError("aud")
    except (jwt.PyJWTError, KeyError):
        raise ApiError(401, "Request had invalid authentication credentials.") from None
    return str(claims["sub"])
