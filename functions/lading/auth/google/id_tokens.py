"""Google's ID tokens: they say who somebody is, to this registry and nobody else, and not what they may do.

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
"""Seconds that Google's keys are used for; a new one is published a day before it signs."""

MIN_REFRESH_INTERVAL: Final = 30.0
"""Seconds that must lie between two requests for keys: anyone can send a token of a key that is not known."""

MAX_WAITING: Final = 16
"""Who may wait for keys that somebody else is fetching."""

MAX_CLOCK_SKEW: Final = 30

MALFORMED: Final = (ValueError, TypeError, AttributeError, OverflowError, RecursionError)
"""What reading a token can raise where a claim is of another type than it should be, whatever the library checks."""


class IdTokens:
    """Reads ID tokens whose audience is this registry. Any thread may use it."""

    def __init__(self, google: GoogleClient, audience: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take tokens for `audience`, the registry's URL."""
        self._google = google
        self._audience = audience
        self._clock = clock
        self._bulkhead = Bulkhead(1, MAX_WAITING)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._fetched_at = -CERTIFICATES_TTL

    def principal(self, token: str) -> str:
        """Whom a token names: by a verified e-mail address, else by Google's number. Raises UNAUTHORIZED, UNAVAILABLE.

        What the metadata server of a machine at Google hands out has an address only where it is asked for one.
        """
        claims = self._claims(token)
        return _email(claims) or _number(claims)

    def email(self, token: str) -> str:
        """Whom a token names, by a verified e-mail address. Raises as `name` does."""
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
        """Google's key of that id. Whatever else a token's header holds, an address of a key among it, is not read."""
        if self._is_missing(id):
            with self._bulkhead.slot():
                # Somebody else may have fetched them meanwhile.
                if self._is_missing(id):
                    self._fetch()
        key = self._keys.get(id)
        if key is None:
            raise RegistryError(UNAUTHORIZED)
        return key

    def _is_missing(self, id: Any) -> bool:
        age = self._clock() - self._fetched_at
        return age >= CERTIFICATES_TTL or (id not in self._keys and age >= MIN_REFRESH_INTERVAL)

    def _fetch(self) -> None:
        reply = self._google.certificates()
        keys = _usable(reply.fields.get("keys")) if reply.status == 200 else {}
        if not keys:
            # Those at hand stay.
            raise service_unavailable("the keys of ID tokens", f"{reply.status} without a key")
        self._keys = keys
        self._fetched_at = self._clock()


def _usable(described: Any) -> dict[str, jwt.PyJWK]:
    """Return the keys of a JWKS by id. One of a kind that is not known makes those beside it no worse."""
    keys = {}
    for each in described if isinstance(described, list) else ():
        with suppress(*MALFORMED, KeyError, jwt.PyJWTError):
            keys[each["kid"]] = jwt.PyJWK(each)
    return keys


def _email(claims: Mapping[str, Any]) -> str:
    email = claims.get("email")
    is_good = isinstance(email, str) and "@" in email and email.isprintable()
    return str(email) if is_good and claims.get("email_verified") is True else ""


def _number(claims: Mapping[str, Any]) -> str:
    # Google's are digits alone, and so is nobody's name.
    number = claims["sub"]
    if not isinstance(number, str) or not re.fullmatch(r"[0-9]{5,255}", number):
        raise RegistryError(UNAUTHORIZED)
    return number
