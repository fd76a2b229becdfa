"""Opaque listing cursors: the position in a listing may be the name of a repository that the caller must not see.

A cursor is encrypted (AES-GCM) and bound to the caller. Its key is derived from one that all processes of a registry
share and that no rotation replaces. So every process accepts the cursor, and only a loss of the keys invalidates it.
"""

import base64
import binascii
import hmac
import secrets
from typing import Final

from lading.registry.errors import QUERY_INVALID, RegistryError

CURSOR_PREFIX: Final = "~"
"""First character of a cursor; no repository name begins with it."""

MAX_CURSOR: Final = 4_000
"""Characters of a cursor that are read; a cursor for the longest name has fewer than 400, and one of events 3,200."""

_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"lading: cursors of listings"


def seal(key: bytes, principal: str, text: str) -> str:
    """Return a cursor that `unseal` decrypts with the same key and principal."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_derive_key(key)).encrypt(nonce, text.encode(), principal.encode())
    return _encoded(nonce + sealed)


def unseal(key: bytes, principal: str, cursor: str) -> str:
    """Return the text of a cursor. Raises QUERY_INVALID unless `seal` made it with the same key and principal."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.urlsafe_b64decode(cursor[len(CURSOR_PREFIX) : MAX_CURSOR] + "==")
        # The decoder drops characters that are not of its alphabet.
        if _encoded(raw) != cursor:
            raise ValueError("it is no cursor")
        return AESGCM(_derive_key(key)).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], principal.encode()).decode()
    except (InvalidTag, ValueError, binascii.Error):
        raise RegistryError(QUERY_INVALID, {"last": cursor[:20]}) from None


def _encoded(raw: bytes) -> str:
    return CURSOR_PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _derive_key(key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE, "sha256")
