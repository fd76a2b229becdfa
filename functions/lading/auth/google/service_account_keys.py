"""Service accounts' keys: of each a token is made, which the service account signs itself.

To check a key takes 20 ms, in which no other thread of the process gets on, and anyone can make any number of keys. So
one is checked at a time, networks take turns, and what was not proved to be a key that Google knows is counted:

a key                               is checked
that Google took within 12 hours    once a minute
any other                           at most 100 times at once and then once a second for each network, and 500 times at
                                    once and then ten times a second in all
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
"""Seconds that a token made of a service account's key is good for: the most that Google takes."""

KEY_BITS: Final = 2048
"""Of a service account's key: the longest that Google has (IAM's ServiceAccountKeyAlgorithm)."""

MAX_KEY_LENGTH: Final = 2000
"""Characters of such a key in PEM, which has some 1,700, and of its address and id."""

MAX_WAITING_CHECKS: Final = 32
"""One network has half of them."""


@dataclass(frozen=True, slots=True)
class _ServiceAccountKey:
    """What is read of a service account's key."""

    email: str
    pem: str
    id: str


class ServiceAccountKeys:
    """Makes tokens of keys. Any thread may use it; what it remembers is bounded, and holds no key."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no key yet."""
        # The same token for the same key, so that what Google said of it is remembered, too.
        self._tokens: ResultCache[bytes, str] = ResultCache(lambda token: True, clock)
        self._proved = RecentLogins(clock)
        self._bulkhead = Bulkhead(1, MAX_WAITING_CHECKS)
        self._limit = GuessLimit(clock)

    def token(self, user: str, secret: str, network: str) -> str:
        """Return a token of the key that came with a user name of KEY_USERS from a client's network.

        Raises UNAUTHORIZED for what is no key, TOO_MANY_LOGINS and UNAVAILABLE where too many were checked lately.
        """
        hashed = _hash(user, secret)
        return self._tokens.get(hashed, lambda: self._make_token(_read(user, secret), hashed, network))

    def confirm(self, user: str, secret: str, network: str) -> None:
        """Remember that Google takes the token of this key, which came from a client's network: it is no invention."""
        hashed = _hash(user, secret).hex()
        if not self._proved.knows(hashed, ""):
            self._limit.refund(network)
        self._proved.add(hashed, "")

    def _make_token(self, key: _ServiceAccountKey, hashed: bytes, network: str) -> str:
        proved = self._proved.knows(hashed.hex(), "")
        with self._bulkhead.slot(network, proved):
            # Another thread may have made it meanwhile: many machines may begin at once with one key.
            token = self._tokens.peek(hashed)
            if token is None:
                if not proved:
                    self._limit.acquire(network)
                token = _signed(key)
            return self._tokens.put(hashed, token)


def _hash(user: str, secret: str) -> bytes:
    return sha256(f"{user}:{secret}".encode()).digest()


def _read(user: str, secret: str) -> _ServiceAccountKey:
    """Read a key as it was sent; raises UNAUTHORIZED.

    Of the JSON only the address, the private key and its id are read. Its URLs are not: the sender of a key would
    make this process send requests where they like.
    """
    try:
        fields = json.loads(decode_base64(secret) if user == "_json_key_base64" else secret)
        if fields["type"] != "service_account":
            raise RegistryError(UNAUTHORIZED)
        return _ServiceAccountKey(*(_text(fields, name) for name in ("client_email", "private_key", "private_key_id")))
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RegistryError(UNAUTHORIZED) from None


def _signed(key: _ServiceAccountKey) -> str:
    """Return a token that a service account signs for itself (https://google.aip.dev/auth/4111).

    Raises UNAUTHORIZED.
    """
    now = int(time.time())
    claims = {"iss": key.email, "sub": key.email, "scope": CLOUD_PLATFORM, "iat": now, "exp": now + KEY_TOKEN_TTL}
    try:
        return jwt.encode(claims, _private_key(key.pem), "RS256", headers={"kid": key.id})
    except (ValueError, TypeError, jwt.PyJWTError):
        raise RegistryError(UNAUTHORIZED) from None


def _private_key(pem: str) -> Any:
    """An RSA key. Raises ValueError, TypeError.

    Whether it is one takes OpenSSL 20 ms to find out, and minutes where an attacker has chosen the numbers. So
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
    return numbers.private_key()


def _text(fields: Any, name: str) -> str:
    value = fields[name]
    # The token that is made of the fields is remembered, with the address in it twice.
    if not isinstance(value, str) or len(value) > MAX_KEY_LENGTH:
        raise TypeError(name)
    return value
