"""Google's ID tokens: they say who somebody is, to this registry and nobody else, and not what they may do.

https://cloud.google.com/docs/authentication/token-types#id
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt

from functions.auth.google import Google
from functions.auth.turns import Turns
from functions.registry.errors import UNAUTHORIZED, RegistryError

ISSUERS: Final = ["https://accounts.google.com", "accounts.google.com"]
FRESH: Final = 3600.0
"""Seconds that Google's keys are used for; a new one is published a day before it signs."""

HASTE: Final = 30.0
"""Seconds that must lie between two requests for keys: anyone can send a token of a key that is not known."""

WAITING: Final = 16
"""Who may wait for keys that somebody else is fetching."""

SKEW: Final = 30


class IdTokens:
    """Reads ID tokens whose audience is this registry. Any thread may use it."""

    def __init__(self, google: Google, audience: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Take tokens for `audience`, the registry's URL."""
        self._google = google
        self._audience = audience
        self._clock = clock
        self._turns = Turns(1, WAITING)
        self._keys: Mapping[str, jwt.PyJWK] = {}
        self._read = -FRESH

    def email(self, token: str) -> str:
        """Whom a token names, by a verified e-mail address. Raises UNAUTHORIZED, UNAVAILABLE."""
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key(jwt.get_unverified_header(token).get("kid")),
                ["RS256"],
                audience=self._audience,
                issuer=ISSUERS,
                leeway=SKEW,
                options={"require": ["exp", "iat", "aud", "iss", "email"]},
            )
        except (jwt.InvalidTokenError, ValueError, RecursionError):
            raise RegistryError(UNAUTHORIZED) from None
        email = claims["email"]
        if claims.get("email_verified") is not True or not isinstance(email, str) or "@" not in email:
            raise RegistryError(UNAUTHORIZED)
        return email

    def _key(self, id: Any) -> jwt.PyJWK:
        """Google's key of that id. Whatever else a token's header holds, an address of a key among it, is not read."""
        if self._is_missing(id):
            with self._turns.take():
                # Somebody else may have fetched them meanwhile.
                if self._is_missing(id):
                    self._fetch()
        key = self._keys.get(id)
        if key is None:
            raise RegistryError(UNAUTHORIZED)
        return key

    def _is_missing(self, id: Any) -> bool:
        age = self._clock() - self._read
        return age >= FRESH or (id not in self._keys and age >= HASTE)

    def _fetch(self) -> None:
        reply = self._google.certificates()
        self._keys = {str(key.get("kid")): jwt.PyJWK(key) for key in reply.fields.get("keys", ())}
        self._read = self._clock()
