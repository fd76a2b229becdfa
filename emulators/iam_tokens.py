"""Tokens that the fake of IAM accepts: their members, and their tokeninfo.

kind of token   in the world                      tokeninfo           APIs
access token    "tokens", with a `scope`          its fields          check its scope
federated       "tokens", without a `scope`       error (400)         accept it
self-signed     a JWT, by one of "keys"           error (400)         check its scope, or its audience
any other       none                              error (400)         error (401)

The status of each tokeninfo error is a field of the world, and a field `tokeninfo` of a token overrides it:

    "tokeninfo": {"unknown": 400, "federated": 400, "self-signed": 400}

The status of tokeninfo does not change how the APIs check the token. Undocumented, and therefore assumptions of this
fake: the status of tokeninfo for federated and self-signed tokens, and that an API rejects a JWT with both `scope` and
`aud`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

INVALID: Final = 400
"""Default status of tokeninfo for a token that it rejects."""

TOKEN_TTL: Final = 3600
"""Maximum lifetime in seconds of a self-signed token."""


class ApiError(Exception):
    """An error response of a Google API."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def member_of(world: Mapping[str, Any], token: str, scopes: Sequence[str], audience: str) -> str:
    """Return the member that the token authenticates, as policies name members.

    Args:
        world: state of the fake (emulators.iam).
        token: from the request.
        scopes: an access token must have one of these.
        audience: required of a self-signed token without a scope (https://google.aip.dev/auth/4111).

    Raises:
        ApiError: 401 for an invalid token, 403 for an access token without a suitable scope.
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
    """Return the tokeninfo fields of an access token. Raises ApiError for any other token."""
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
    """Return the service account that signed the token. Raises ApiError 401 if the token is invalid."""
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
