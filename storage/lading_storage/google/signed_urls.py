"""V4 signed URLs of Cloud Storage, from which any client can read one object of a bucket for some minutes.

https://cloud.google.com/storage/docs/authentication/canonical-requests
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import quote, urlencode, urlsplit

from cachetools import TTLCache

from lading_storage.google.url_signers import LOCATION, REQUEST_TYPE, SERVICE, Signer

URL_TTL: Final = 20 * 60
"""Validity of a URL in seconds: long enough for the slowest pull to start its last layer. A download that has started
is served to its end."""

CACHE_TTL: Final = 15 * 60
"""Seconds for which a URL is cached: the last client that gets it has five minutes to start the download."""

MAX_CACHED: Final = 10_000
"""Maximum cached URLs, about 7 MB. The oldest are evicted."""


class UrlSigner(Protocol):
    """Source of URLs from which any client can read an object for a limited time. Thread-safe."""

    def url(self, name: str) -> str:
        """Return the URL of an object. Raises Unavailable."""
        ...


class SignedUrls:
    """Signed URLs of a bucket's objects, each cached until shortly before it expires. Thread-safe."""

    def __init__(self, endpoint: str, bucket: str, signer: Signer, clock: Callable[[], float] = time.time) -> None:
        """Sign with `signer`. The URLs start with `endpoint`."""
        self._endpoint = endpoint
        self._bucket = bucket
        self._signer = signer
        self._clock = clock
        self._lock = threading.Lock()
        self._cache: TTLCache[str, Future[str]] = TTLCache(MAX_CACHED, CACHE_TTL, clock)

    def url(self, name: str) -> str:
        """Return the URL of an object. If several threads need the same URL, one signs. Raises Unavailable."""
        with self._lock:
            cached = self._cache.get(name)
            if cached is None:
                future = self._cache[name] = Future()
        if cached is not None:
            return cached.result()
        try:
            future.set_result(self._signed(name))
        except BaseException as error:
            with self._lock:
                self._cache.pop(name, None)
            future.set_exception(error)
        return future.result()

    def _signed(self, name: str) -> str:
        time = datetime.fromtimestamp(self._clock(), UTC)
        date, stamp = f"{time:%Y%m%d}", f"{time:%Y%m%dT%H%M%SZ}"
        scope = f"{date}/{LOCATION}/{SERVICE}/{REQUEST_TYPE}"
        path = f"/{self._bucket}/{quote(name)}"
        # Sorted by name, as the signature requires.
        query = urlencode(
            {
                "X-Goog-Algorithm": self._signer.algorithm,
                "X-Goog-Credential": f"{self._signer.principal()}/{scope}",
                "X-Goog-Date": stamp,
                "X-Goog-Expires": URL_TTL,
                "X-Goog-SignedHeaders": "host",
            },
            quote_via=quote,
            safe="",
        )
        host = urlsplit(self._endpoint).netloc
        request = f"GET\n{path}\n{query}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"
        text = f"{self._signer.algorithm}\n{stamp}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        return f"{self._endpoint}{path}?{query}&X-Goog-Signature={self._signer.sign(text.encode(), date).hex()}"
