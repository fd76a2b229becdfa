"""What clients send to say who they are: the Authorization header, and what their user names mean."""

import base64
import binascii
import re
from typing import Any, Final, NamedTuple

import jwt

from lading.registry.errors import UNAUTHORIZED, RegistryError

MAX_LENGTH: Final = 16 * 1024
"""Characters of a secret: a service account's key in base64 has some 3,200."""

TOKEN_USERS: Final = re.compile(
    r"(oauth2accesstoken|_dcgcloud_token|gclouddockertoken|_dcgcr_[0-9a-z_.]+_token|<token>)?"
)
"""Who comes with one of Google's tokens: docker login by hand, gcloud's helper now and formerly, docker-credential-gcr,
and who sends it as a refresh token, without a user."""

KEY_USERS: Final = frozenset({"_json_key", "_json_key_base64"})
"""Who comes with the key of a service account, as JSON."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")
"""What can stand behind `Bearer` (RFC 6750, section 2.1)."""

CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"


class Basic(NamedTuple):
    """A user name and a secret."""

    user: str
    secret: str


class Bearer(NamedTuple):
    """A token of the registry's own."""

    token: str


def parse_authorization(authorization: str) -> Basic | Bearer | None:
    """What an Authorization header holds, or None where it is "". Raises UNAUTHORIZED where it cannot be read."""
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
    """Return the user name of a login, or "" where it cannot be read; None of a token, and where nothing was sent."""
    if not authorization or authorization[:7].lower() == "bearer ":
        return None
    try:
        given = parse_authorization(authorization)
    except RegistryError:
        return ""
    return given.user if isinstance(given, Basic) else None


def google_token(user: str, secret: str) -> str:
    """Return one of Google's tokens that was sent as it is. Raises UNAUTHORIZED for any other credentials."""
    if TOKEN_USERS.fullmatch(user) and _TOKEN.fullmatch(secret):
        return secret
    raise RegistryError(UNAUTHORIZED)


def is_jwt(text: str) -> bool:
    """Whether `text` looks like a JWT, and not like a name, which may have dots as well."""
    return text.startswith("eyJ") and text.count(".") == 2


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT whose signature somebody else has checked, or will; {} for what is no JWT."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
        return {}


def decode_base64(text: str) -> str:
    """Of base64, UTF-8. Raises UNAUTHORIZED."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        raise RegistryError(UNAUTHORIZED) from None
