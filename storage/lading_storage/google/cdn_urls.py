"""URLs of Cloud CDN, from which anyone can read one object of the bucket behind it for some minutes.

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
    """Signed URLs of the objects behind one host of Cloud CDN; signed here, in microseconds. Any thread may use it.

    What is signed is no part of what Cloud CDN keeps an object by: all who pull share it.
    """

    def __init__(self, base: str, name: str, key: bytes, clock: Callable[[], float] = time.time) -> None:
        """Sign with the key of that name; the URLs begin with `base`, as in https://blobs.example.com."""
        self._base = base.rstrip("/")
        self._name = name
        self._key = key
        self._clock = clock

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """As a file says: URL NAME KEY, the key as Cloud CDN has it, 16 bytes in base64url. Raises StorageError."""
        try:
            base, name, encoded = path.read_text().split()
            key = urlsafe_b64decode(encoded)
            if urlsplit(base).scheme not in ("http", "https") or len(key) != KEY_BYTES:
                raise ValueError
        except (OSError, ValueError) as error:
            # Only its kind: the text of a ValueError may quote the key.
            raise StorageError(f"{path} holds no key of Cloud CDN, URL NAME KEY: {type(error).__name__}") from None
        return cls(base, name, key)

    def url(self, name: str) -> str:
        """The URL of an object, from now on good for LIFETIME."""
        url = f"{self._base}/{quote(name)}?Expires={int(self._clock()) + URL_TTL}&KeyName={quote(self._name)}"
        signature = hmac.digest(self._key, url.encode(), "sha1")
        return f"{url}&Signature={urlsafe_b64encode(signature).decode()}"
