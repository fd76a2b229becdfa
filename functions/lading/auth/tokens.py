"""The registry's own tokens: what one /v2/token answer granted, for five minutes, without asking anybody again.

A token is a JWT (RFC 7519), signed with HS256 and nothing else by a key that only this registry has, for this registry
alone. Its claims, beside the registered ones:

    access    what is granted, as distribution writes it: [{"type", "name", "actions"}]
    refused   what was asked for in vain, in the same form: a request for it is answered 403, not 401
    packed    both of them, where they are many (auth.token_packing)
    readable  patterns of what a listing may show, where `registry:catalog:*` was granted
    anonymous nobody logged in

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
from lading.auth.token_packing import scope_claims, unpacked
from lading.registry.errors import UNAUTHORIZED, RegistryError

ALGORITHM: Final = "HS256"
TOKEN_TTL: Final = 300
"""A token's life. A token with a later end is refused, though its signature may be good."""

MAX_CLOCK_SKEW: Final = 30
"""Seconds that the clocks of two instances may differ."""

MAX_LENGTH: Final = 16 * 1024
"""Characters of a token that is looked at."""

MAX_CACHED_LENGTH: Final = 1024
"""Characters of a token that is remembered as verified, and of the names that it is for: one for four scopes. 10,000 of
these take up to 50 MB; the longest that a client without credentials can have would take 136."""

MAX_CLAIMS_SIZE: Final = 10 * 1024
"""Bytes of a token's claims, which make 14 KiB of token. It travels in a header, whose length proxies limit."""

RESERVED_FOR_PATTERNS: Final = 1_000
"""Of these, where a listing was asked for: what is left beside the scopes is for patterns of what it may show."""

REQUIRED: Final = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti"]
CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class TokenCaller:
    """Whoever sent a token: may do what it grants, and pull what is public."""

    principal: str
    anonymous: bool
    granted: frozenset[tuple[str, str]]
    refused: frozenset[tuple[str, str]]
    catalog: tuple[str, ...] | None
    public: tuple[str, ...]

    def decide(self, action: Action, repository: str) -> Decision:
        """See Caller.decide; asks nobody."""
        if action in (Action.NONE, Action.AUTHENTICATE):
            return Decision(Effect.ALLOWED, "the token is good")
        if action is Action.LIST:
            return Decision(Effect.ALLOWED if self.catalog is not None else Effect.UNDETERMINED, "the token's scope")
        if action is Action.PULL and patterns.matches(self.public, repository):
            return Decision(Effect.ALLOWED, "the repository is public")
        if (repository, action.value) in self.granted:
            return Decision(Effect.ALLOWED, "the token's scope")
        # Whoever has not logged in can still do so.
        refused = (repository, action.value) in self.refused and not self.anonymous
        return Decision(Effect.DENIED if refused else Effect.UNDETERMINED, "the token's scope")

    def readable_patterns(self) -> Sequence[str]:
        """See Caller.readable_patterns."""
        granted = {name for name, action in self.granted if action == Action.PULL.value}
        return (*self.public, *(self.catalog or ()), *granted)


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature and claims were good; good still while the key is trusted, up to `ends`."""

    caller: TokenCaller
    key: SigningKey
    expires_at: int

    @property
    def size(self) -> int:
        """Characters of the names that it is for."""
        return sum(len(name) for rights in (self.caller.granted, self.caller.refused) for name, _ in rights)


class Tokens:
    """Issues and reads the tokens of one registry."""

    def __init__(
        self, keys: KeyRing, issuer: str, audience: str, public: Sequence[str], clock: Callable[[], float] = time.time
    ) -> None:
        """Issue tokens as `issuer` for `audience`; whoever has one may also pull from `public`, which are patterns."""
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._public = tuple(public)
        self._clock = clock
        self._verified = ResultCache[bytes, _Verified](lambda token: True)

    def issue(self, caller: Caller, anonymous: bool, granted: Sequence[Scope], refused: Sequence[Scope]) -> Token:
        """A token for these scopes, which are not checked here: for the last of them, where all would not fit."""
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
        most = MAX_CLAIMS_SIZE - RESERVED_FOR_PATTERNS * (CATALOG in granted)
        while len(json.dumps(both := claims | scope_claims(granted, refused))) > most:
            granted, refused = _drop_first_tenth(granted), _drop_first_tenth(refused)
        claims = both
        if CATALOG in granted:
            left = MAX_CLAIMS_SIZE - len(json.dumps(claims))
            claims["readable"] = _fit_within(patterns.without_covered(caller.readable_patterns()), left)
        text = jwt.encode(claims, key.secret, ALGORITHM, headers={"kid": key.id})
        return Token(text, TOKEN_TTL, now, tuple(granted), tuple(refused))

    def verify(self, text: str) -> TokenCaller:
        """Who sent a token. Raises UNAUTHORIZED for any but one of this registry's own, alive and whole.

        To verify one takes as long as all else that a small pull needs, and clients send each many times.
        """
        if len(text) > MAX_LENGTH or not CHARACTERS.issuperset(text):
            raise RegistryError(UNAUTHORIZED)
        hashed = sha256(text.encode()).digest() if len(text) <= MAX_CACHED_LENGTH else b""
        verified = self._verified.peek(hashed) if hashed else None
        if verified is None:
            verified = self._verify_uncached(text)
            # Packed, a short token may be for much.
            if hashed and verified.size <= MAX_CACHED_LENGTH:
                self._verified.put(hashed, verified)
        if verified.expires_at <= time.time() - MAX_CLOCK_SKEW or self._keys.find(verified.key.id) != verified.key:
            raise RegistryError(UNAUTHORIZED)
        return verified.caller

    def _verify_uncached(self, text: str) -> _Verified:
        key, claims = self._claims(text)
        if claims.expires > self._clock() + TOKEN_TTL + MAX_CLOCK_SKEW:
            raise RegistryError(UNAUTHORIZED)
        caller = TokenCaller(
            principal=claims.principal,
            anonymous=claims.anonymous,
            granted=claims.granted,
            refused=claims.refused,
            catalog=claims.catalog,
            public=self._public,
        )
        return _Verified(caller, key, claims.expires)

    def _claims(self, text: str) -> tuple[SigningKey, Claims]:
        """Return the claims of a token, and the key that signed it."""
        try:
            header = jwt.get_unverified_header(text)
            id = header.get("kid")
            # Not a word of the header is followed: it names one of our keys, or the token is none of ours.
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
            # The others are what PyJWT raises for claims of other types than it expects.
            raise RegistryError(UNAUTHORIZED) from None


def _drop_first_tenth(scopes: Sequence[Scope]) -> Sequence[Scope]:
    """Return the last nine tenths."""
    return scopes[(len(scopes) + 9) // 10 :]


def _fit_within(texts: Sequence[str], max_size: int) -> list[str]:
    lengths = itertools.accumulate(len(text) + 3 for text in texts)
    fitting = [text for text, length in zip(texts, lengths, strict=True) if length <= max_size]
    if len(fitting) < len(texts):
        log.warning("a caller may read more than fits into a token: the catalog shows %d patterns", len(fitting))
    return fitting
