"""Compression of a token's scopes: a client may request those of 500 repositories, and sends the token in a header.

500 scopes take 40 KB as JSON, and 2 to 9 KB compressed. A small set is not compressed, so that people can read it.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Sequence
from typing import Any, Final

from lading.auth.scopes import Scope

MAX_UNPACKED_CLAIMS: Final = 2 * 1024
"""Bytes of scopes above which they are compressed."""

MAX_UNPACKED: Final = 256 * 1024
"""Bytes of decompressed scopes; 500 scopes with the longest names, granted and refused, take fewer."""

SCOPE_CLAIMS: Final = ("access", "refused")


def scope_claims(granted: Sequence[Scope], refused: Sequence[Scope]) -> dict[str, Any]:
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
