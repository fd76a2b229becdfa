"""Cursors that tell nothing: a place in a listing that may be the name of what the caller must not see.

A cursor is encrypted (AES-GCM) under a key derived from one that all processes of a registry share and no rotation
replaces, and bound to the caller. So any process takes it, and it ends with a loss of the keys alone.
"""

import base64
import binascii
import hmac
import secrets
from typing import Final

from lading.registry.errors import QUERY_INVALID, RegistryError

CURSOR_PREFIX: Final = "~"
"""With what a cursor begins, as no name does."""

MAX_CURSOR: Final = 1_000
"""Characters of a cursor that is looked at; one of the longest name has fewer than 400."""

_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"lading: cursors of listings"


def seal(key: bytes, principal: str, text: str) -> str:
    """Return a cursor that only `unseal` reads, with the same key and for the same principal."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_derived(key)).encrypt(nonce, text.encode(), principal.encode())
    return CURSOR_PREFIX + base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("=")


def unseal(key: bytes, principal: str, cursor: str) -> str:
    """Return the text of a cursor. Raises QUERY_INVALID for any but one of `seal`."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.urlsafe_b64decode(cursor[len(CURSOR_PREFIX) : MAX_CURSOR] + "==")
        return AESGCM(_derived(key)).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], principal.encode()).decode()
    except (InvalidTag, ValueError, binascii.Error):
        raise RegistryError(QUERY_INVALID, {"last": cursor[:20]}) from None


def _derived(key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE, "sha256")
