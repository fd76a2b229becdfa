"""Signing secrets of webhooks: shown once, and stored encrypted (AES-GCM), since each delivery is signed with them.

The encryption key is derived from the key of robots' secrets, which all processes of a registry share and which no
rotation of its keys replaces. A sealed secret is bound to its webhook, so a copy in another record is useless.
"""

import base64
import binascii
import hmac
import secrets
from typing import Final

WEBHOOK_PREFIX: Final = "whsec_"
"""Prefix of a secret (Standard Webhooks), by which scanners for leaked secrets detect it."""

KEY_BYTES: Final = 32
"""Random bytes of a secret. Standard Webhooks recommends 24 to 64."""

_NONCE_BYTES: Final = 12
_PURPOSE: Final = b"lading: secrets of webhooks"


class SecretLost(Exception):
    """A sealed secret cannot be opened with the registry's keys; the message says what to do."""


def new_secret() -> str:
    """Return a new random secret."""
    return WEBHOOK_PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def seal(key: bytes, webhook: str, secret: str) -> str:
    """Return a secret as it is stored.

    Args:
        key: the HMAC key of robots' secrets (Keys.robots).
        webhook: the id of the webhook.
        secret: as new_secret returns it.
    """
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(_derive_key(key)).encrypt(nonce, secret.encode(), webhook.encode())).decode()


def unseal(key: bytes, webhook: str, sealed: str) -> str:
    """Return the secret that `seal` stored with the same key and webhook. Raises SecretLost."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = base64.b64decode(sealed)
        return AESGCM(_derive_key(key)).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], webhook.encode()).decode()
    except (InvalidTag, ValueError, binascii.Error):
        raise SecretLost(
            "its secret was sealed with other keys than the registry has now;"
            f" `lading webhooks rotate {webhook}` makes a new one"
        ) from None


def _derive_key(key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE, "sha256")
