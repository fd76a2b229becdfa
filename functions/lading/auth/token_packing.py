"""The scopes of a token, packed: a client that collects the scopes of 500 repositories sends its token in a header.

500 scopes take 40 KB as JSON, and 2 to 9 KB packed. Few are written as they are, so that a token can be read by people.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from typing import Any, Final

from lading.auth.scopes import Scope

MAX_UNPACKED_CLAIMS: Final = 2 * 1024
"""Bytes of scopes that are not packed."""

MAX_UNPACKED: Final = 256 * 1024
"""Bytes; 500 scopes with the longest names, granted and refused, take fewer."""

SCOPE_CLAIMS: Final = ("access", "refused")


def scope_claims(granted: Sequence[Scope], refused: Sequence[Scope]) -> dict[str, Any]:
    """Return the claims that say what is granted and what was refused."""
    plain = dict(zip(SCOPE_CLAIMS, (_written(granted), _written(refused)), strict=True))
    text = json.dumps(plain)
    if len(text) <= MAX_UNPACKED_CLAIMS:
        return plain
    return {"packed": base64.urlsafe_b64encode(zlib.compress(text.encode())).decode()}


def unpacked(claims: dict[str, Any]) -> dict[str, Any]:
    """Return the claims of a token with its scopes as they are. Raises ValueError where they cannot be read."""
    if "packed" not in claims:
        return claims
    if not isinstance(claims["packed"], str):
        raise ValueError("packed scopes that are no text")
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(base64.b64decode(claims["packed"], b"-_", validate=True), MAX_UNPACKED)
    except (binascii.Error, zlib.error) as error:
        raise ValueError("packed scopes that cannot be unpacked") from error
    plain = json.loads(text) if unpacking.eof else None
    if not isinstance(plain, dict):
        raise ValueError("packed scopes that are cut, or too many")
    return {**claims, **{name: plain.get(name) for name in SCOPE_CLAIMS}}


def _written(scopes: Sequence[Scope]) -> list[dict[str, Any]]:
    return [{"type": scope.type, "name": scope.name, "actions": list(scope.actions)} for scope in scopes]
