"""JSON and base64 of signatures, read so that one content has one meaning: what is written differently is refused.

Other programs may read duplicate keys, or the unused bits of base64, in another way.
"""

import base64
import json
from typing import Any, Final, NoReturn

from lading.json_values import unique_members
from lading.signatures.signature import NotVerified

MAX_CONTAINERS: Final = 500
"""Brackets that open an object or an array: nesting is no deeper."""


def parse_object(content: bytes, noun: str) -> dict[str, Any]:
    """Return the JSON object in UTF-8 that a content is.

    Args:
        content: of a size that the caller limited.
        noun: what it is to be, for the reason.

    Raises:
        NotVerified: it is something else, or has a key twice.
    """
    if content.count(b"{") + content.count(b"[") > MAX_CONTAINERS:
        raise NotVerified(f"the {noun} has more than {MAX_CONTAINERS} objects and arrays")
    try:
        value = json.loads(content.decode(), object_pairs_hook=unique_members, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise NotVerified(f"the {noun} is no JSON, or has a key twice") from None
    if not isinstance(value, dict):
        raise NotVerified(f"the {noun} is no JSON object")
    return value


def _refuse(constant: str) -> NoReturn:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(constant)


def decode_base64(text: object, noun: str) -> bytes:
    """Return the bytes of base64 with padding, in its only spelling. Raises NotVerified."""
    return _decoded(text, "", noun)


def decode_base64url(text: object, noun: str) -> bytes:
    """Return the bytes of base64url without padding (RFC 7515, section 2), in its only spelling. Raises NotVerified."""
    if isinstance(text, str) and not {"+", "/", "="} & set(text):
        padded = text + "=" * (-len(text) % 4)
        return _decoded(padded.replace("-", "+").replace("_", "/"), "url", noun)
    raise NotVerified(f"the {noun} is not base64url")


def _decoded(text: object, variant: str, noun: str) -> bytes:
    try:
        if isinstance(text, str):
            decoded = base64.b64decode(text, validate=True)
            if base64.b64encode(decoded).decode() == text:
                return decoded
    except ValueError:
        pass
    raise NotVerified(f"the {noun} is not base64{variant}")
