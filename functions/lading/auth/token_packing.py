"""Compression of a token's scopes: a client may request those of 500 repositories, and sends the token in a header.

500 scopes take 40 KB as JSON, and 2 to 9 KB compressed. A small set is not compressed, so that people can read it.
"""

import base64
import binascii
import json
import zlib
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

from lading.auth.scopes import Scope

MAX_UNPACKED_CLAIMS: Final = 2 * 1024
"""Bytes of scopes above which they are compressed."""

MAX_UNPACKED: Final = 256 * 1024
"""Bytes of decompressed scopes; 500 scopes with the longest names, granted and refused, take fewer."""

SCOPE_CLAIMS: Final = ("access", "refused")

PARTS: Final = 64
"""Parts of the scopes, of which the first ones are dropped where not all fit. To find how many takes seven compressions
at most; to drop a tenth at a time took 18, and 24 ms of CPU for any anonymous client."""


def fitting_claims(
    granted: Sequence[Scope], refused: Sequence[Scope], max_size: int
) -> tuple[Sequence[Scope], Sequence[Scope], dict[str, Any]]:
    """Return the last of the granted and of the refused scopes that fit, and their claims of at most `max_size` bytes.

    Args:
        granted: granted scopes, of which the last ones are needed most.
        refused: refused scopes, likewise.
        max_size: bytes of the claims as JSON; more than those of none.
    """
    tried: dict[int, dict[str, Any]] = {}

    def fits(dropped: int) -> bool:
        tried[dropped] = _scope_claims(_without_first(granted, dropped), _without_first(refused, dropped))
        return len(json.dumps(tried[dropped])) <= max_size

    dropped = 0 if fits(0) else bisect_left(range(PARTS), True, lo=1, key=fits)
    claims = tried.get(dropped) or _scope_claims([], [])
    return _without_first(granted, dropped), _without_first(refused, dropped), claims


def _without_first(scopes: Sequence[Scope], parts: int) -> Sequence[Scope]:
    """Return the scopes without the first `parts` of PARTS, rounded down: a single one is the newest."""
    return scopes[len(scopes) * parts // PARTS :]


def _scope_claims(granted: Sequence[Scope], refused: Sequence[Scope]) -> dict[str, Any]:
    """Return the claims for the granted and the refused scopes, compressed if they are large."""
    plain = dict(zip(SCOPE_CLAIMS, (_to_json(granted), _to_json(refused)), strict=True))
    text = json.dumps(plain)
    if len(text) <= MAX_UNPACKED_CLAIMS:
        return plain
    return {"packed": base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()}


def unpacked(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a token with its scopes decompressed. Raises ValueError if they are malformed."""
    if "packed" not in claims:
        return claims
    if not isinstance(claims["packed"], str):
        raise ValueError("the packed scopes are not a string")
    decompressor = zlib.decompressobj()
    try:
        text = decompressor.decompress(base64.b64decode(claims["packed"], b"-_", validate=True), MAX_UNPACKED)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("the packed scopes cannot be decompressed") from error
    plain = json.loads(text) if decompressor.eof else None
    if not isinstance(plain, dict):
        raise ValueError("the packed scopes are truncated or too large")
    return {**claims, **{name: plain.get(name) for name in SCOPE_CLAIMS}}


def _to_json(scopes: Sequence[Scope]) -> list[dict[str, Any]]:
    return [{"type": scope.type, "name": scope.name, "actions": list(scope.actions)} for scope in scopes]
