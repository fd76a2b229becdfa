"""Verification of Google ID tokens, which authenticate a caller to this registry only, and grant nothing.

https://cloud.google.com/docs/authentication/token-types#id
"""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import jwt

from lading.auth.bulkhead import Bulkhead
from lading.auth.google.client import GoogleClient, service_unavailable
from lading.registry.errors import UNAUTHORIZED, RegistryError

ISSUERS: Final = ["https://accounts.google.com", "accounts.google.com"]
CERTIFICATES_TTL: Final = 3600.0
"""Seconds for which Google's keys are cached; a new one is published a day before it signs."""

MIN_REFRESH_INTERVAL: Final = 30.0
"""Minimum seconds between two requests for keys: any client can send a token with an unknown key id."""

MAX_WAITING: Final = 16
"""Threads that may wait for keys that another thread fetches."""

MAX_CLOCK_SKEW: Final = 30
"""Seconds by which clocks may differ."""

MALFORMED: Final = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""Exceptions that PyJWT may raise for a claim of an unexpected type."""


class IdTokens:
    """Verifies ID tokens whose audience is this registry. Thread-safe."""

    def __init__(self, google: GoogleClient, audience: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Accept tokens for `audience`, the registry's URL."""
        self._google = google
        self._audience = audience
        self._clock = clock
        self._bulkhead = Bulkhead(1, MAX_WAITING)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = -CERTIFICATES_TTL

    def principal(self, token: str) -> str:
        """Return the verified e-mail address in a token, or else Google's account number.

        A token from the metadata server of a Google Cloud machine has an address only if the request asked for it.

        Raises:
            RegistryError: UNAUTHORIZED if the token is invalid, UNAVAILABLE if Google's keys cannot be fetched.
        """
        claims = self._claims(token)
        return _email(claims) or _number(claims)

    def email(self, token: str) -> str:
        """Return the verified e-mail address in a token. Raises as `principal` does."""
        email = _email(self._claims(token))
        if not email:
            raise RegistryError(UNAUTHORIZED)
        return email

    def _claims(self, token: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token).get("kid")),
                ["RS256"],
                audience=self._audience,
                issuer=ISSUERS,
                leeway=MAX_CLOCK_SKEW,
                options={"require": ["exp", "iat", "aud", "iss", "sub"]},
            )
        except (*MALFORMED, jwt.InvalidTokenError):
            raise RegistryError(UNAUTHORIZED) from None

    def _key(self, id: Any) -> jwt.PyJWK:
        """Return Google's key with this id. Nothing else in a token's header is used, such as a key's address (`jku`).

        Raises UNAUTHORIZED if there is none.
        """
        if self._must_fetch(id):
            with self._bulkhead.slot():
                # Another thread may have fetched them meanwhile.
                if self._must_fetch(id):
                    self._fetch()
        key = self._keys.get(id)
        if key is None:
            raise RegistryError(UNAUTHORIZED)
        return key

    def _must_fetch(self, id: Any) -> bool:
        age = self._clock() - self._fetched_at
        return age >= CERTIFICATES_TTL or (id not in self._keys and age >= MIN_REFRESH_INTERVAL)

    def _fetch(self) -> None:
        reply = self._google.certificates()
        keys = _parse_jwks(reply.fields.get("keys")) if reply.status == 200 else {}
        if not keys:
            # The cached keys stay.
            raise service_unavailable("the JWKS of ID tokens", f"{reply.status} without a key")
        self._keys = keys
        self._fetched_at = self._clock()


def _parse_jwks(jwks: Any) -> dict[str, jwt.PyJWK]:
    """Return the keys in the `keys` of a JWKS, by id. Keys of an unknown type are skipped."""
    keys = {}
    for each in jwks if isinstance(jwks, list) else ():
        with suppress(*MALFORMED, KeyError, jwt.PyJWTError):
            keys[each["kid"]] = jwt.PyJWK(each)
    return keys


def _email(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    is_good = isinstance(email, str) and "@" in email and email.isprintable()
    return str(email) if is_good and claims.get("email_verified") is True else ""


def _number(claims: Mapping[str, Any]) -> str:
    # Account numbers have only digits, so they do not collide with e-mail addresses.
    number = claims["sub"]
    if not isinstance(number, str) or not re.fullmatch(r"[0-9]{5,255}", number):
        raise RegistryError(UNAUTHORIZED)
    return number
