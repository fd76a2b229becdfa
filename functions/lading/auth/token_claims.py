"""Type checks of token claims: each claim has the type that `Tokens.issue` writes, or the token is refused.

A valid signature does not prove that this release wrote the claims: another program may sign with a leaked key, and an
earlier or later release may write them differently.
"""

from dataclasses import dataclass
from typing import Any, Final

REGISTERED: Final = ("iss", "aud", "sub", "jti")
TIMES: Final = ("iat", "nbf", "exp")


class ClaimsInvalid(ValueError):
    """A claim has another type than this registry writes."""


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token.

    principal  of the caller, "" for an unauthenticated client
    anonymous  whether it was issued to an unauthenticated client
    granted    pairs of a repository and an action
    refused    … that were requested and denied
    catalog    patterns of the repositories that a listing may show; None if no listing was granted
    expires    seconds since 1970
    """

    principal: str
    anonymous: bool
    granted: frozenset[tuple[str, str]]
    refused: frozenset[tuple[str, str]]
    catalog: tuple[str, ...] | None
    expires: int


def read_claims(claims: dict[str, Any], life: int) -> Claims:
    """Check and return the claims of a token, which has all registered claims that `Tokens.issue` writes.

    Args:
        claims: of a token with a valid signature.
        life: maximum lifetime in seconds.

    Raises:
        ClaimsInvalid: a claim has the wrong type, or the token's lifetime is too long.
    """
    for name in REGISTERED:
        _text(claims[name])
    issued, _, expires = (_number(claims[name]) for name in TIMES)
    if expires - issued > life:
        raise ClaimsInvalid("the token's lifetime is longer than this registry's")
    anonymous = claims.get("anonymous", False)
    if not isinstance(anonymous, bool):
        raise ClaimsInvalid("the claim `anonymous` is not a boolean")
    return Claims(
        principal=claims["sub"],
        anonymous=anonymous,
        granted=_on_repositories(claims.get("access")),
        refused=_on_repositories(claims.get("refused")),
        catalog=tuple(map(_text, _items(claims["readable"]))) if "readable" in claims else None,
        expires=expires,
    )


def _on_repositories(access: Any) -> frozenset[tuple[str, str]]:
    pairs: set[tuple[str, str]] = set()
    for scope in _items(access):
        if not isinstance(scope, dict):
            raise ClaimsInvalid("a scope is not an object")
        type, name = _text(scope.get("type")), _text(scope.get("name"))
        actions = [_text(action) for action in _items(scope.get("actions"))]
        if type == "repository":
            pairs.update((name, action) for action in actions)
    return frozenset(pairs)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ClaimsInvalid("a claim is not a string")
    return value


def _number(value: Any) -> int:
    # Not isinstance: a bool is an int.
    if type(value) is not int:
        raise ClaimsInvalid("a time is not an integer")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ClaimsInvalid("a claim is not a list")
    return value
