"""Signed URLs of Cloud CDN, from which any client can read one object of its bucket for some minutes.

https://cloud.google.com/cdn/docs/using-signed-urls
"""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlsplit

from lading_storage.errors import StorageError
from lading_storage.google.signed_urls import URL_TTL

KEY_BYTES: Final = 16


class CdnUrls:
    """Signed URLs of one Cloud CDN host. Signing is local and takes microseconds. Thread-safe.

    The signature is not part of Cloud CDN's cache key, so all clients share the cached object.
    """

    def __init__(self, base: str, name: str, key: bytes, clock: Callable[[], float] = time.time) -> None:
        """Sign with a key of Cloud CDN.

        Args:
            base: start of the URLs, for example https://blobs.example.com.
            name: the key's name.
            key: the key, of KEY_BYTES bytes.
            clock: returns the Unix time in seconds.
        """
        self._base = base.rstrip("/")
        self._name = name
        self._key = key
        self._clock = clock

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read the key file: `URL NAME KEY`, the key in Cloud CDN's format, 16 bytes in base64url.

        Raises StorageError if the file does not have this format.
        """
        try:
            base, name, encoded = path.read_text().split()
            key = urlsafe_b64decode(encoded)
            if urlsplit(base).scheme not in ("http", "https") or len(key) != KEY_BYTES:
                raise ValueError
        except (OSError, ValueError) as error:
            # Only the error's type: the message of a ValueError may contain the key.
            raise StorageError(
                f"{path} is not a key file of Cloud CDN; write `URL NAME KEY` into it: {type(error).__name__}"
            ) from None
        return cls(base, name, key)

    def url(self, name: str) -> str:
        """Return the URL of an object, valid for URL_TTL from now."""
        url = f"{self._base}/{quote(name)}?Expires={int(self._clock()) + URL_TTL}&KeyName={quote(self._name)}"
        signature = hmac.digest(self._key, url.encode(), "sha1")
        return f"{url}&Signature={urlsafe_b64encode(signature).decode()}"
