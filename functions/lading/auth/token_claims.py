"""The claims of the registry's own tokens, each of the type that `Tokens.issue` writes, or the token is none of ours.

A token's signature says that it is ours. That it was us who wrote the claims is another matter: another program may
sign with a key that leaked, and a release before or after this one may write them in another way.
"""

from dataclasses import dataclass
from typing import Any, Final

REGISTERED: Final = ("iss", "aud", "sub", "jti")
TIMES: Final = ("iat", "nbf", "exp")


class ClaimsInvalid(ValueError):
    """Claims that are not of the type that this registry writes."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token says.

    principal  of the caller, "" for an unauthenticated client
    anonymous  whether it was issued to an unauthenticated client
    granted    repositories and actions
    refused    … that were requested and not granted
    catalog    patterns of what a listing may show; None where it was not asked for
    expires    seconds since 1970
    """

    principal: str
    anonymous: bool
    granted: frozenset[tuple[str, str]]
    refused: frozenset[tuple[str, str]]
    catalog: tuple[str, ...] | None
    expires: int


def read_claims(claims: dict[str, Any], life: int) -> Claims:
    """Return the claims of a token that lives no longer than `life` seconds; all that `issue` writes are there.

    Raises ClaimsInvalid.
    """
    for name in REGISTERED:
        _text(claims[name])
    issued, _, expires = (_number(claims[name]) for name in TIMES)
    if expires - issued > life:
        raise ClaimsInvalid("the token lives longer than those of this registry")
    anonymous = claims.get("anonymous", False)
    if not isinstance(anonymous, bool):
        raise ClaimsInvalid("anonymous")
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
            raise ClaimsInvalid("a scope")
        type, name = _text(scope.get("type")), _text(scope.get("name"))
        actions = [_text(action) for action in _items(scope.get("actions"))]
        if type == "repository":
            pairs.update((name, action) for action in actions)
    return frozenset(pairs)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ClaimsInvalid("a text")
    return value


def _number(value: Any) -> int:
    # True is a number, too.
    if type(value) is not int:
        raise ClaimsInvalid("a time")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ClaimsInvalid("a list")
    return value
