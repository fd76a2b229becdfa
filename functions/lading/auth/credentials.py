"""Client credentials: the Authorization header, and the special user names of Google's credential helpers."""

import base64
import binascii
import re
from typing import Any, Final, NamedTuple

import jwt

from lading.registry.errors import UNAUTHORIZED, RegistryError

MAX_LENGTH: Final = 16 * 1024
"""Characters of a secret: a service account's key in base64 has about 3,200."""

TOKEN_USERS: Final = re.compile(
    r"(oauth2accesstoken|_dcgcloud_token|gclouddockertoken|_dcgcr_[0-9a-z_.]+_token|<token>)?"
)
"""User names that accompany a Google token: `docker login` by hand, gcloud's credential helper (present and former),
docker-credential-gcr, and clients that send it as a refresh token, with an empty user name."""

KEY_USERS: Final = frozenset({"_json_key", "_json_key_base64"})
"""User names that accompany a service account's key in JSON, plain or base64."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
"""Syntax of a token after `Bearer` (RFC 6750, section 2.1)."""

CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"


class Basic(NamedTuple):
    """A user name and a secret."""

    user: str
    secret: str


class Bearer(NamedTuple):
    """A token of the registry's own."""

    token: str


def parse_authorization(authorization: str) -> Basic | Bearer | None:
    """Return the credentials of an Authorization header, or None if it is "". Raises UNAUTHORIZED if malformed."""
    if not authorization:
        return None
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return Bearer(rest.strip())
        case "basic" if len(rest) <= 2 * MAX_LENGTH:
            user, colon, secret = decode_base64(rest.strip()).partition(":")
            if colon:
                return Basic(user, secret)
    raise RegistryError(UNAUTHORIZED)


def attempted_user(authorization: str) -> str | None:
    """Return the user name of a Basic login, "" if it is malformed, or None for a token or an absent header."""
    if not authorization or authorization[:7].lower() == "bearer ":
        return None
    try:
        parsed = parse_authorization(authorization)
    except RegistryError:
        return ""
    return parsed.user if isinstance(parsed, Basic) else None


def google_token(user: str, secret: str) -> str:
    """Return the Google token that was sent as a password. Raises UNAUTHORIZED for any other credentials."""
    if TOKEN_USERS.fullmatch(user) and _TOKEN.fullmatch(secret):
        return secret
    raise RegistryError(UNAUTHORIZED)


def is_jwt(text: str) -> bool:
    """Return whether `text` looks like a JWT rather than a name, which may contain dots as well."""
    return text.startswith("eyJ") and text.count(".") == 2


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without verifying its signature, or {} if `token` is not a JWT.

    Only for tokens whose signature another party has verified, or will verify.
    """
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
        return {}


def decode_base64(text: str) -> str:
    """Return the UTF-8 text that is encoded in base64. Raises UNAUTHORIZED if it is malformed."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        raise RegistryError(UNAUTHORIZED) from None
