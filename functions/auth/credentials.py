"""What clients send to say who they are: the Authorization header, and what their user names mean."""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final, NamedTuple

import jwt

from functions.auth.bulkhead import Bulkhead
from functions.auth.cache import Answers
from functions.registry.errors import UNAUTHORIZED, RegistryError

LONGEST: Final = 16 * 1024
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

KEY_LIFE: Final = 3600
"""Seconds that a token made of a service account's key is good for: the most that Google takes."""

KEY_BITS: Final = 2048
"""Of a service account's key: the longest that Google has (IAM's ServiceAccountKeyAlgorithm)."""

LONGEST_KEY: Final = 2000
"""Characters of such a key in PEM, which has some 1,700, and of its address and id."""

CLOUD_PLATFORM: Final = "https://www.googleapis.com/auth/cloud-platform"


class Basic(NamedTuple):
    """A user name and a secret."""

    user: str
    secret: str


class Bearer(NamedTuple):
    """A token of the registry's own."""

    token: str


def read(authorization: str) -> Basic | Bearer | None:
    """What an Authorization header holds, or None where it is "". Raises UNAUTHORIZED where it cannot be read."""
    if not authorization:
        return None
    scheme, _, rest = authorization.partition(" ")
    match scheme.lower():
        case "bearer":
            return Bearer(rest.strip())
        case "basic" if len(rest) <= 2 * LONGEST:
            user, colon, secret = _decoded(rest.strip()).partition(":")
            if colon:
                return Basic(user, secret)
    raise RegistryError(UNAUTHORIZED)


def user_tried(authorization: str) -> str | None:
    """Return the user name of a login, or "" where it cannot be read; None of a token, and where nothing was sent."""
    if not authorization or authorization[:7].lower() == "bearer ":
        return None
    try:
        given = read(authorization)
    except RegistryError:
        return ""
    return given.user if isinstance(given, Basic) else None


def google_token(user: str, secret: str) -> str:
    """The token to ask Google with: the one that was sent, or one made of a service account's key.

    Raises UNAUTHORIZED where this is neither.
    """
    if user in KEY_USERS:
        return _TOKENS_OF_KEYS.get(
            sha256(f"{user}:{secret}".encode()).digest(), lambda: _self_signed(user, secret, time.time)
        )
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


def _self_signed(user: str, secret: str, clock: Callable[[], float]) -> str:
    """A token that a service account signs for itself (https://google.aip.dev/auth/4111).

    Of the JSON only the address, the private key and its id are read. Its URLs are not: whoever sends a key would
    make this process send requests where they like.
    """
    try:
        fields = json.loads(_decoded(secret) if user == "_json_key_base64" else secret)
        if fields["type"] != "service_account":
            raise RegistryError(UNAUTHORIZED)
        email, pem, id = (_text(fields, name) for name in ("client_email", "private_key", "private_key_id"))
        now = int(clock())
        claims = {"iss": email, "sub": email, "scope": CLOUD_PLATFORM, "iat": now, "exp": now + KEY_LIFE}
        return jwt.encode(claims, _private_key(pem), "RS256", headers={"kid": id})
    except (ValueError, KeyError, TypeError, RecursionError, jwt.PyJWTError):
        raise RegistryError(UNAUTHORIZED) from None


def _private_key(pem: str) -> Any:
    """An RSA key. Raises ValueError, TypeError.

    Whether it is one takes OpenSSL 20 ms to find out, and minutes where a stranger has chosen the numbers for it. So
    they are looked at first, without a word to OpenSSL of using them.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as error:
        raise ValueError("a key of an unknown kind") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("a key of another kind")
    numbers = key.private_numbers()
    if key.key_size != KEY_BITS or {numbers.p.bit_length(), numbers.q.bit_length()} != {KEY_BITS // 2}:
        raise ValueError("not of the size of a service account's key")
    with _BULKHEAD.place():
        return numbers.private_key()


def _text(fields: Any, name: str) -> str:
    value = fields[name]
    # The token that is made of the fields is remembered, with the address in it twice.
    if not isinstance(value, str) or len(value) > LONGEST_KEY:
        raise TypeError(name)
    return value


def _decoded(text: str) -> str:
    """Of base64, UTF-8. Raises UNAUTHORIZED."""
    try:
        return base64.b64decode("".join(text.split()), validate=True).decode()
    except (binascii.Error, ValueError):
        raise RegistryError(UNAUTHORIZED) from None


_BULKHEAD: Final = Bulkhead(1, 16)
"""To check a key: meanwhile no other thread gets on."""

_TOKENS_OF_KEYS: Final = Answers[bytes, str](lambda token: True)
"""By the hash of what was sent: the same token for the same key, so that what Google said of it is remembered, too."""
