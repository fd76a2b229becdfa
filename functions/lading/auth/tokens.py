"""Bearer tokens that the registry issues at /v2/token. For five minutes they authorize without a query to Google.

A token is a JWT (RFC 7519), signed with HS256 only, by a key that only this registry has, and valid for this registry
only. Its claims, in addition to the registered ones:

    access     granted scopes, in the form of distribution: [{"type", "name", "actions"}]
    refused    denied scopes, in the same form: a request for them gets 403, not 401
    packed     both of these in compressed form, if they are large (auth.token_packing)
    readable   patterns of the repositories that a listing may show, if `registry:catalog:*` was granted
    anonymous  true if the client was not authenticated

https://distribution.github.io/distribution/spec/auth/jwt/
"""

import itertools
import json
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import jwt

from lading.auth import patterns
from lading.auth.access import Action, Caller, Decision, Effect, Token
from lading.auth.cache import ResultCache
from lading.auth.keys import KeyRing, SigningKey
from lading.auth.scopes import CATALOG, Scope
from lading.auth.token_claims import Claims, read_claims
from lading.auth.token_packing import fitting_claims, unpacked
from lading.registry.errors import UNAUTHORIZED, RegistryError

ALGORITHM: Final = "HS256"
TOKEN_TTL: Final = 300
"""Lifetime of a token in seconds. A token that expires later is refused even if its signature is valid."""

MAX_CLOCK_SKEW: Final = 30
"""Seconds by which the clocks of two instances may differ."""

MAX_LENGTH: Final = 16 * 1024
"""Characters; a longer token is refused without parsing."""

MAX_CACHED_LENGTH: Final = 1024
"""Characters of a token whose verification is cached, and of the repository names in it: about four scopes. 10,000 such
tokens take up to 50 MB; the longest ones that an unauthenticated client can obtain would take 136 MB."""

MAX_CLAIMS_SIZE: Final = 10 * 1024
"""Bytes of a token's claims, which make a token of 14 KiB. It is sent in a header, whose length proxies limit."""

RESERVED_FOR_PATTERNS: Final = 1_000
"""Bytes of MAX_CLAIMS_SIZE that are reserved for the claim `readable`, if `registry:catalog:*` was granted."""

REQUIRED: Final = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"]
CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class TokenCaller:
    """Caller authenticated by a token of the registry: has what it grants, and may pull from public repositories.

    expires_at  seconds since 1970
    """

    principal: str
    anonymous: bool
    expires_at: int
    granted: frozenset[tuple[str, str]]
    refused: frozenset[tuple[str, str]]
    catalog: tuple[str, ...] | None
    public: tuple[str, ...]

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide. Makes no query."""
        if action in (Action.NONE, Action.AUTHENTICATE):
            return Decision(Effect.ALLOWED, "the token is valid")
        if action is Action.LIST:
            return Decision(Effect.ALLOWED if self.catalog is not None else Effect.UNDETERMINED, "the token's scope")
        if action is Action.PULL and patterns.matches(self.public, repository):
            return Decision(Effect.ALLOWED, "the repository is public")
        if (repository, action.value) in self.granted:
            return Decision(Effect.ALLOWED, "the token's scope")
        # An anonymous client can still log in, so it is never DENIED.
        refused = (repository, action.value) in self.refused and not self.anonymous
        return Decision(Effect.DENIED if refused else Effect.UNDETERMINED, "the token's scope")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        granted = {name for name, action in self.granted if action == Action.PULL.value}
        return (*self.public, *(self.catalog or ()), *granted)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A cached verification, valid until the caller's token expires, while `key` is trusted."""

    caller: TokenCaller
    key: SigningKey

    @property
    def size(self) -> int:
        """Total length of the repository names in the token."""
        return sum(len(name) for rights in (self.caller.granted, self.caller.refused) for name, _ in rights)


class Tokens:
    """Issues and verifies the tokens of one registry."""

    def __init__(
        self, keys: KeyRing, issuer: str, audience: str, public: Sequence[str], clock: Callable[[], float] = time.time
    ) -> None:
        """Create the issuer.

        Args:
            keys: sign tokens.
            issuer: claim `iss` of all tokens.
            audience: claim `aud` of all tokens.
            public: patterns of the repositories that every caller may pull from.
            clock: returns seconds since 1970.
        """
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._public = tuple(public)
        self._clock = clock
        self._verified = ResultCache[bytes, _Verified](lambda token: True)

    def issue(self, caller: Caller, anonymous: bool, granted: Sequence[Scope], refused: Sequence[Scope]) -> Token:
        """Return a token for these scopes, without checking them. If they do not all fit, the last ones are kept."""
        now, key = int(self._clock()), self._keys.signing
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": caller.principal,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_TTL,
            "jti": secrets.token_hex(8),
        }
        if anonymous:
            claims["anonymous"] = True
        max_size = MAX_CLAIMS_SIZE - RESERVED_FOR_PATTERNS * (CATALOG in granted)
        granted, refused, packed = fitting_claims(granted, refused, max_size - len(json.dumps(claims)))
        claims |= packed
        if CATALOG in granted:
            remaining = MAX_CLAIMS_SIZE - len(json.dumps(claims))
            claims["readable"] = _fit_within(patterns.without_covered(caller.readable_patterns()), remaining)
        text = jwt.encode(claims, key.secret, ALGORITHM, headers={"kid": key.id})
        return Token(text, TOKEN_TTL, now, tuple(granted), tuple(refused))

    def verify(self, text: str) -> TokenCaller:
        """Return the caller that the token authenticates.

        Verification takes as long as the rest of a small pull, and clients send each token many times, so results are
        cached.

        Raises:
            RegistryError: UNAUTHORIZED unless this registry issued the token, and it is intact and not expired.
        """
        if len(text) > MAX_LENGTH or not CHARACTERS.issuperset(text):
            raise RegistryError(UNAUTHORIZED)
        hashed = sha256(text.encode()).digest() if len(text) <= MAX_CACHED_LENGTH else b""
        verified = self._verified.peek(hashed) if hashed else None
        if verified is None:
            verified = self._verify_uncached(text)
            # A short token may have many names, packed.
            if hashed and verified.size <= MAX_CACHED_LENGTH:
                self._verified.put(hashed, verified)
        if self.remaining_life(verified.caller) <= 0 or self._keys.find(verified.key.id) != verified.key:
            raise RegistryError(UNAUTHORIZED)
        return verified.caller

    def remaining_life(self, caller: TokenCaller) -> float:
        """Return for how many seconds the caller's token is accepted; 0 or less after that."""
        return caller.expires_at + MAX_CLOCK_SKEW - time.time()

    def _verify_uncached(self, text: str) -> _Verified:
        key, claims = self._claims(text)
        if claims.expires > self._clock() + TOKEN_TTL + MAX_CLOCK_SKEW:
            raise RegistryError(UNAUTHORIZED)
        caller = TokenCaller(
            principal=claims.principal,
            anonymous=claims.anonymous,
            expires_at=claims.expires,
            granted=claims.granted,
            refused=claims.refused,
            catalog=claims.catalog,
            public=self._public,
        )
        return _Verified(caller, key)

    def _claims(self, text: str) -> tuple[SigningKey, Claims]:
        """Verify a token; return the key that signed it, and its claims. Raises UNAUTHORIZED."""
        try:
            header = jwt.get_unverified_header(text)
            id = header.get("kid")
            # The header is not trusted: it must have exactly these fields, and name a known key.
            if header != {"alg": ALGORITHM, "typ": "JWT", "kid": id} or not isinstance(id, str):
                raise RegistryError(UNAUTHORIZED)
            key = self._keys.find(id)
            if key is None:
                raise RegistryError(UNAUTHORIZED)
            claims = jwt.decode(
                text,
                key.secret,
                [ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=MAX_CLOCK_SKEW,
                options={"require": REQUIRED},
            )
            return key, read_claims(unpacked(claims), TOKEN_TTL)
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError, RecursionError):
            # All but the first are what PyJWT raises for claims of unexpected types.
            raise RegistryError(UNAUTHORIZED) from None


def _fit_within(texts: Sequence[str], max_size: int) -> list[str]:
    """Return the first texts whose JSON fits into `max_size` characters."""
    lengths = itertools.accumulate(len(text) + 3 for text in texts)
    fitting = [text for text, length in zip(texts, lengths, strict=True) if length <= max_size]
    if len(fitting) < len(texts):
        log.warning("a token is too small for all readable patterns; the catalog shows %d of them", len(fitting))
    return fitting
