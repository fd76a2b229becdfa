"""An upload to Cloud Storage: one streamed `uploadType=media` request, made again while its bytes are still at hand.

https://cloud.google.com/storage/docs/uploading-objects

It costs a third of the CPU of the client library's resumable sessions, and leaves nothing behind when it is cut. Of the
body nothing is kept but its first MAX_REPLAY bytes, and those only until there are more. So a small body can be sent
again, and of a large one the beginning, where Cloud Storage refuses it early; beyond that, the client has to send it
again.

Every try creates the same new object (`ifGenerationMatch=0`). One that finds it there is told so (412): then an earlier
try had taken effect, though its answer was lost, and the object is compared with what was sent like any other.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import google_crc32c
import requests

MAX_REPLAY: Final = 384 * 1024
"""Bytes that are kept to be sent again: as many as the server reads of a request's body at a time."""

RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
"""https://cloud.google.com/storage/docs/retry-strategy"""

MAX_TRIES: Final = 5
INITIAL_BACKOFF: Final = 0.2
"""Seconds of the longest pause after the first failure; it doubles with each."""

RETRY_TIMEOUT: Final = 10.0
"""Seconds after the first failure in which a new try may begin."""

TIMEOUTS: Final = (10, 60)
"""Seconds to connect, and seconds without a byte."""


class UploadBody:
    """The body of an upload. Has a length where that is known, else it is sent chunked.

    Each iteration begins with what the iterations before have sent, while that `can_be_replayed`.

    sent    bytes of the body, so far
    crc32c  of these
    """

    def __init__(self, chunks: Iterable[bytes], size: int | None) -> None:
        """Send `chunks`, which are `size` bytes, or None where that is not known."""
        self._chunks = iter(chunks)
        self._size = size
        self._kept: list[bytes] | None = []
        self._is_broken = False
        self.sent = 0
        self.crc32c = 0
        if size:
            # requests looks for `len`, by which it chooses between Content-Length and chunks.
            self.len = size

    def __bool__(self) -> bool:
        return self._size != 0

    def __iter__(self) -> Iterator[bytes]:
        yield from list(self._kept or ())
        while (chunk := self._next()) is not None:
            yield chunk

    @property
    def can_be_replayed(self) -> bool:
        """Whether all that was sent is still there, and the body itself did not fail."""
        return self._kept is not None and not self._is_broken

    def _next(self) -> bytes | None:
        """Return the next chunk that was never sent, or None at the end."""
        try:
            chunk = next(self._chunks, None)
        except BaseException:
            self._is_broken = True
            raise
        if chunk is None:
            return None
        self.sent += len(chunk)
        self.crc32c = google_crc32c.extend(self.crc32c, chunk)
        if self._kept is not None:
            self._kept.append(chunk)
            if self.sent > MAX_REPLAY:
                self._kept = None
        return chunk


def upload(session: requests.Session, endpoint: str, bucket: str, name: str, body: UploadBody) -> dict[str, Any]:
    """Create an object of `body`; return its resource. Raises what requests raises, and what the body does.

    A body that ends early never gets its last chunk, so nothing of it is kept.
    """
    objects = f"storage/v1/b/{bucket}/o"
    parameters = {"uploadType": "media", "name": name, "ifGenerationMatch": "0"}
    headers = {"Content-Type": "application/octet-stream"}
    if not body:
        # Nothing is to be sent, and what is not nothing raises.
        headers["Content-Length"] = str(sum(len(chunk) for chunk in body))

    def attempt(is_first: bool) -> requests.Response:
        url = f"{endpoint}/upload/{objects}"
        answer = session.post(url, params=parameters, data=body or b"", headers=headers, timeout=TIMEOUTS)
        if answer.status_code == 412 and not is_first:
            return session.get(f"{endpoint}/{objects}/{quote(name, safe='')}", timeout=TIMEOUTS)
        return answer

    answer = _retry(attempt, body)
    answer.raise_for_status()
    described: dict[str, Any] = answer.json()
    return described


def _retry(attempt: Callable[[bool], requests.Response], body: UploadBody) -> requests.Response:
    """Call `attempt` until it gets an answer that is final, while `body` can be replayed; it is told which is first."""
    deadline = 0.0
    for number in range(MAX_TRIES):
        fault: requests.RequestException | None = None
        try:
            answer = attempt(number == 0)
            if answer.status_code not in RETRYABLE:
                break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            fault = error
        deadline = deadline or time.monotonic() + RETRY_TIMEOUT
        if number == MAX_TRIES - 1 or not body.can_be_replayed or time.monotonic() >= deadline:
            break
        # Jitter: of many that were refused at once, few must come back at once.
        time.sleep(random.uniform(0, INITIAL_BACKOFF * 2**number))
    if fault is not None:
        raise fault
    return answer
