"""URLs from which anyone can read one object of a bucket for some minutes: V4 signed URLs.

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
"""Seconds: long enough to begin the slowest pull's last layer; a URL that has begun is served to its end."""

CACHE_TTL: Final = 15 * 60
"""Seconds for which a URL is handed out again: whoever gets it last has five minutes to begin."""

MAX_CACHED: Final = 10_000
"""URLs that are kept, some 7 MB; the oldest make room."""


class UrlSigner(Protocol):
    """Makes URLs, from which anyone can read an object for a while. Any thread may use it."""

    def url(self, name: str) -> str:
        """The URL of an object. Raises Unavailable."""
        ...


class SignedUrls:
    """Signed URLs of a bucket's objects, each kept until shortly before it ends. Any thread may use it."""

    def __init__(self, endpoint: str, bucket: str, signer: Signer, clock: Callable[[], float] = time.time) -> None:
        """Sign with `signer`; the URLs begin with `endpoint`."""
        self._endpoint = endpoint
        self._bucket = bucket
        self._signer = signer
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: TTLCache[str, Future[str]] = TTLCache(MAX_CACHED, CACHE_TTL, clock)

    def url(self, name: str) -> str:
        """The URL of an object. Of several threads that want the same, one signs. Raises Unavailable."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                mine = self._kept[name] = Future()
        if kept is not None:
            return kept.result()
        try:
            mine.set_result(self._signed(name))
        except BaseException as error:
            with self._lock:
                self._kept.pop(name, None)
            mine.set_exception(error)
        return mine.result()

    def _signed(self, name: str) -> str:
        time = datetime.fromtimestamp(self._clock(), UTC)
        date, stamp = f"{time:%Y%m%d}", f"{time:%Y%m%dT%H%M%SZ}"
        scope = f"{date}/{LOCATION}/{SERVICE}/{REQUEST_TYPE}"
        path = f"/{self._bucket}/{quote(name)}"
        # In the order of their names, as they are signed.
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
