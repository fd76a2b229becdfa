"""The body of a request, read in chunks and with timeouts.

A WSGI server's `read` blocks for as long as a client likes and cannot be interrupted. So a separate thread reads ahead,
and the consumer of the bytes waits for that thread with a timeout. Reading ahead also overlaps network and disk.

The server's `read(n)` returns once it has n bytes, so with a large n a slow client looks like a stalled one.
So n is what arrived within a second, as far as that can be predicted. Where a read is overdue all the same, since the
client has become slower, the kernel reports whether data still arrives (`tcp_info.seconds_since_data`).

A request whose response is ready while the thread still reads must not be returned to the server: granian then waits
for the read with the interpreter's lock held, and the process hangs. So the response is sent as a stream, whose end
waits for the end of the read (`wait`), and an idle connection is closed, which ends the read. All threads of a server
are drawn in lading.server.serve.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from queue import Empty
from threading import BoundedSemaphore
from typing import Final

from werkzeug.wrappers import Request

from lading.http.read_ahead import CHUNK_SIZE, ReadAhead
from lading.http.request_connection import ConnectionState, RequestConnection
from lading.http.tcp_info import close_idle, seconds_since_data
from lading.registry.errors import (
    BODY_STALLED,
    BODY_TOO_LARGE,
    BODY_TRUNCATED,
    LENGTH_REQUIRED,
    LENGTH_UNKNOWN,
    SIZE_MISMATCH,
    UNAVAILABLE,
    RegistryError,
)

log = logging.getLogger("lading")

MAX_DRAIN_BYTES: Final = 8 * 1024 * 1024
DRAIN_TIMEOUT: Final = 2.0
"""Bytes and seconds for draining a refused body, so that clients that send it whole before they read get a response."""

MAX_PROXY_DRAIN_BYTES: Final = 64 * 1024 * 1024
PROXY_DRAIN_TIMEOUT: Final = 10.0
"""The same with a reverse proxy, which may send 502 in place of a response that comes before the end of the request."""

JOIN_TIMEOUT: Final = 1.0
"""Seconds to wait for a thread that has read everything to end."""

POLL_INTERVAL: Final = 1.0
"""Seconds between two checks of connections."""


class RequestBody:
    """The body of one request, to be read once.

    size  the number of bytes by Content-Length, or None
    """

    def __init__(
        self, request: Request, stall_timeout: float, max_size: int = 0, drain_slots: BoundedSemaphore | None = None
    ) -> None:
        """Prepare to read; nothing is read before `chunks`, `read` or `drain`.

        Args:
            request: the request.
            stall_timeout: seconds without a byte after which the body has stalled.
            max_size: the maximum size of a body in bytes, or 0 for no limit.
            drain_slots: limits how many bodies are drained concurrently; None for a semaphore of its own.
        """
        unsized = "HTTP_TRANSFER_ENCODING" in request.environ
        # For every method: what remains unread would be taken for the beginning of the next request.
        self.size = request.content_length if "CONTENT_LENGTH" in request.environ else None
        self._request = request
        self._stall_timeout = stall_timeout
        self._max_size = max_size
        self._drain_slots = drain_slots or BoundedSemaphore()
        self._has_drain_slot = False
        self._close_callbacks: list[Callable[[], object]] = []
        self._read_ahead: ReadAhead | None = None
        self._connection: RequestConnection | None = None
        self._connection_state = ConnectionState.OPEN
        self._received = 0
        self._stalled = False
        self._small_reads = False
        self._ended = not (unsized if self.size is None else self.size)
        # werkzeug returns an empty stream for such a body: its end is unknown, and so is the next request's beginning.
        self._endless = unsized and not request.environ.get("wsgi.input_terminated")

    @property
    def unread(self) -> bool:
        """Whether bytes may remain unread."""
        return not self._ended

    def require_end(self) -> None:
        """Raise LENGTH_UNKNOWN for a chunked body of a server that does not mark its end, which would look empty.

        granian, gunicorn and werkzeug mark it (wsgi.input_terminated); PEP 3333 does not require it, and wsgiref does
        not.
        """
        if self._endless:
            raise RegistryError(LENGTH_UNKNOWN)

    def chunks(self, size: int | None = None, deadline: float = math.inf) -> Iterator[bytes]:
        """Yield the body in non-empty chunks.

        A body without Content-Length also ends where it is uncertain whether it was truncated, so its digest must be
        checked.

        Args:
            size: the expected size in bytes; by default Content-Length. No more bytes are yielded.
            deadline: the value of time.monotonic() by which the whole body must have arrived.

        Raises:
            RegistryError: BODY_STALLED, BODY_TOO_LARGE, BODY_TRUNCATED, or SIZE_MISMATCH where the body is not exactly
                as long as expected.
        """
        expected, received = self.size if size is None else size, 0
        self._check(expected or 0)
        while chunk := self._next(deadline):
            received += len(chunk)
            self._check(received)
            if expected is not None and received > expected:
                break
            yield chunk
        if expected is not None and received != expected:
            raise RegistryError(SIZE_MISMATCH, {"expected": expected})

    def acquire_drain_slot(self, *, timeout: float = 0) -> bool:
        """Acquire a drain slot within `timeout` seconds and hold it until the server's read has ended.

        The slots keep clients that send slowly, or not at all, from occupying all threads.

        Returns:
            Whether the body holds a slot.
        """
        if not self._has_drain_slot:
            self._has_drain_slot = self._drain_slots.acquire(timeout=timeout)
        return self._has_drain_slot

    def call_on_close(self, callback: Callable[[], object]) -> None:
        """Register a callback for the time when the server's read has ended and the thread is free."""
        self._close_callbacks.append(callback)

    def read(self, max_size: int, timeout: float = math.inf, *, digest_checked: bool = False) -> bytes | None:
        """Return the whole body, or None where it is larger than `max_size`.

        Of a body that is too large, at most one chunk beyond `max_size` is read.

        Args:
            max_size: the maximum size in bytes.
            timeout: seconds for the whole body; by default the stall timeout for each 384 KiB of `max_size`.
            digest_checked: whether the caller checks the digest of the content.

        Raises:
            RegistryError: as `chunks`; also LENGTH_REQUIRED or UNAVAILABLE where the digest is not checked and it is
                uncertain whether the body was truncated.
        """
        deadline = time.monotonic() + min(timeout, self._stall_timeout * (1 + max_size // CHUNK_SIZE))
        self._small_reads = timeout < self._stall_timeout
        self._stall_timeout = min(self._stall_timeout, timeout)
        if self.size is not None and self.size > max_size:
            return None
        content = bytearray()
        for chunk in self.chunks(deadline=deadline):
            content += chunk
            if len(content) > max_size:
                return None
        if not digest_checked:
            self._check_complete()
        return bytes(content)

    def _check_complete(self) -> None:
        if self._connection_state is ConnectionState.UNKNOWN:
            raise RegistryError(LENGTH_REQUIRED)
        if self._connection_state is ConnectionState.AMBIGUOUS:
            raise RegistryError(UNAVAILABLE)

    def drain(self, *, behind_proxy: bool = False) -> None:
        """Read and discard the rest, within limits. A client that waits for `100 Continue` is not asked to send it."""
        max_bytes, timeout = (
            (MAX_PROXY_DRAIN_BYTES, PROXY_DRAIN_TIMEOUT) if behind_proxy else (MAX_DRAIN_BYTES, DRAIN_TIMEOUT)
        )
        if "Expect" in self._request.headers or self._stalled or self._endless:
            return
        self._small_reads = True
        deadline, drained = time.monotonic() + timeout, 0
        try:
            while drained < max_bytes and time.monotonic() < deadline:
                chunk = self._next(deadline)
                if not chunk:
                    return
                drained += len(chunk)
        except RegistryError:
            return

    def close(self) -> bool:
        """Stop reading ahead.

        Returns:
            Whether the reading thread has ended. If not, the response must end with `wait`.
        """
        if self._read_ahead is not None:
            self._read_ahead.close()
            self._read_ahead.join(JOIN_TIMEOUT if self._ended else 0)
            if self._read_ahead.is_alive():
                return False
        self._release()
        return True

    def wait(self) -> None:
        """Wait until the server's read has ended, without a timeout: else granian would hang the whole process."""
        assert self._read_ahead is not None
        while self._read_ahead.is_alive():
            try:
                self._close_idle()
            except Exception:
                log.exception("idle connections could not be closed; trying again")
            self._read_ahead.join(POLL_INTERVAL)
        self._release()

    def _close_idle(self) -> None:
        """Close the client's connection if it is idle."""
        environ = self._request.environ
        # Twice the timeout: a client that stalled for as long as this one has received its response by then.
        close_idle(int(environ["SERVER_PORT"]), environ.get("REMOTE_ADDR", ""), 2 * self._stall_timeout)

    def _release(self) -> None:
        while self._close_callbacks:
            self._close_callbacks.pop()()
        if self._has_drain_slot:
            self._has_drain_slot = False
            self._drain_slots.release()

    def _check(self, size: int) -> None:
        if self._max_size and size > self._max_size:
            raise RegistryError(BODY_TOO_LARGE)

    def _next(self, deadline: float) -> bytes:
        """Return the next chunk, or b"" at the end.

        Raises BODY_STALLED where the body stalls or is incomplete at `deadline`, and BODY_TRUNCATED where its
        connection has ended.
        """
        if self._ended:
            return b""
        if self._read_ahead is None:
            if self.size is None:
                # Before anything is read, so that the request's connection is among the candidates.
                self._connection = RequestConnection(self._request.environ)
            self._read_ahead = ReadAhead(self._request, self._small_reads)
            self._read_ahead.start()
        chunk = self._next_chunk(self._read_ahead, deadline)
        if isinstance(chunk, Exception):
            self._ended = True
            raise RegistryError(SIZE_MISMATCH) from chunk
        self._ended = not chunk
        self._received += len(chunk)
        if self._ended and self._connection:
            self._connection_state = self._connection.state(self._received)
            if self._connection_state is ConnectionState.CLOSED:
                raise RegistryError(BODY_TRUNCATED)
        return chunk

    def _next_chunk(self, read_ahead: ReadAhead, deadline: float) -> bytes | Exception:
        """Return the next item of `read_ahead`. Raises BODY_STALLED."""
        stalled_at = time.monotonic() + self._stall_timeout
        while True:
            remaining = min(stalled_at, deadline) - time.monotonic()
            try:
                return read_ahead.next(max(0, min(POLL_INTERVAL, remaining)))
            except Empty:
                now = time.monotonic()
                if stalled_at <= now < deadline and read_ahead.read_size > 1:
                    stalled_at = now + self._stall_timeout - self._seconds_since_data()
                self._stalled = min(stalled_at, deadline) <= now
                if self._stalled:
                    raise RegistryError(BODY_STALLED) from None

    def _seconds_since_data(self) -> float:
        """Return the seconds since the client, or another one at its address, last sent data."""
        environ = self._request.environ
        return seconds_since_data(int(environ.get("SERVER_PORT", 0)), environ.get("REMOTE_ADDR", ""))
