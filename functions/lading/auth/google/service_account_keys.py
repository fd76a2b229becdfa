"""Self-signed access tokens from service account keys.

Signing with a key takes 20 ms, during which no other thread of the process runs, and any client can generate any number
of keys. So one key is used at a time, networks are served round robin, and keys that Google has not accepted before
have a rate limit:

key                                   checks
accepted by Google within 12 hours    one a minute
any other                             a burst of 100, then one a second for each network; a burst of 500, then ten a
                                      second in total
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt

from lading.auth.bulkhead import Bulkhead
from lading.auth.cache import ResultCache
from lading.auth.credentials import CLOUD_PLATFORM, decode_base64
from lading.auth.guess_limit import GuessLimit
from lading.auth.recent_logins import RecentLogins
from lading.registry.errors import UNAUTHORIZED, RegistryError

KEY_TOKEN_TTL: Final = 3600
"""Lifetime in seconds of a self-signed token: the maximum that Google accepts."""

KEY_BITS: Final = 2048
"""RSA key size of a service account's key: the largest that Google issues (IAM's ServiceAccountKeyAlgorithm)."""

MAX_KEY_LENGTH: Final = 2000
"""Characters of such a key in PEM, which has about 1,700, and of its address and id."""

MAX_WAITING_CHECKS: Final = 32
"""Threads that may wait for a check; one network may have half of them."""


@dataclass(frozen=True, slots=True)
class _ServiceAccountKey:
    """The fields of a service account's key that are used."""

    email: str
    pem: str
    id: str


class ServiceAccountKeys:
    """Creates and caches tokens from keys. Thread-safe; its memory is bounded, and holds no key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty."""
        # The same token for the same key, so that cached decisions for the token apply as well.
        self._tokens: ResultCache[bytes, str] = ResultCache(lambda token: True, clock)
        self._confirmed = RecentLogins(clock)
        self._bulkhead = Bulkhead(1, MAX_WAITING_CHECKS)
        self._limit = GuessLimit(clock)

    def token(self, user: str, secret: str, network: str) -> str:
        """Return a token for a key.

        Args:
            user: one of KEY_USERS.
            secret: the key, in JSON or base64.
            network: of the client.

        Raises:
            RegistryError: UNAUTHORIZED if `secret` is not a key, TOO_MANY_LOGINS or UNAVAILABLE above the rate limit.
        """
        hashed = _hash(user, secret)
        return self._tokens.get(hashed, lambda: self._make_token(_read(user, secret), hashed, network))

    def confirm(self, user: str, secret: str, network: str) -> None:
        """Record that Google accepts the token of this key, so that the rate limit does not apply to it."""
        hashed = _hash(user, secret).hex()
        if not self._confirmed.contains(hashed, ""):
            self._limit.refund(network)
        self._confirmed.add(hashed, "")

    def _make_token(self, key: _ServiceAccountKey, hashed: bytes, network: str) -> str:
        is_confirmed = self._confirmed.contains(hashed.hex(), "")
        with self._bulkhead.slot(network, is_confirmed):
            # Another thread may have created it meanwhile: many machines may start with one key at the same time.
            token = self._tokens.peek(hashed)
            if token is None:
                if not is_confirmed:
                    self._limit.acquire(network)
                token = _sign_token(key)
            return self._tokens.put(hashed, token)


def _hash(user: str, secret: str) -> bytes:
    return sha256(f"{user}:{secret}".encode()).digest()


def _read(user: str, secret: str) -> _ServiceAccountKey:
    """Parse a key as it was sent. Raises UNAUTHORIZED.

    Only the address, the private key and its id are used, and none of the URLs in the JSON: they would let the sender
    of a key direct requests of this process (SSRF).
    """
    try:
        fields = json.loads(decode_base64(secret) if user == "_json_key_base64" else secret)
        if fields["type"] != "service_account":
            raise RegistryError(UNAUTHORIZED)
        return _ServiceAccountKey(*(_text(fields, name) for name in ("client_email", "private_key", "private_key_id")))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RegistryError(UNAUTHORIZED) from None


def _sign_token(key: _ServiceAccountKey) -> str:
    """Return a self-signed token of the service account (https://google.aip.dev/auth/4111). Raises UNAUTHORIZED."""
    now = int(time.time())
    claims = {"iss": key.email, "sub": key.email, "scope": CLOUD_PLATFORM, "iat": now, "exp": now + KEY_TOKEN_TTL}
    try:
        return jwt.encode(claims, _private_key(key.pem), "RS256", headers={"kid": key.id})
    except (ValueError, TypeError, jwt.PyJWTError):
        raise RegistryError(UNAUTHORIZED) from None


def _private_key(pem: str) -> Any:
    """Return the RSA key in `pem`. Raises ValueError, TypeError.

    OpenSSL's validation of a key takes 20 ms, and minutes for numbers that an attacker chose. So their sizes are
    checked first, without OpenSSL.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    except UnsupportedAlgorithm as error:
        raise ValueError("the key has an unknown algorithm") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the key is not an RSA key")
    numbers = key.private_numbers()
    if key.key_size != KEY_BITS or {numbers.p.bit_length(), numbers.q.bit_length()} != {KEY_BITS // 2}:
        raise ValueError("the key does not have the size of a service account's key")
    return numbers.private_key()


def _text(fields: Any, name: str) -> str:
    value = fields[name]
    # Bounded, since the token is cached, and contains the address twice.
    if not isinstance(value, str) or len(value) > MAX_KEY_LENGTH:
        raise TypeError(name)
    return value
