"""A request's body, in pieces, with an end to waiting.

A WSGI server's `read` blocks for as long as a client likes, and nothing can end it. So a thread of its own reads ahead,
and whoever wants the bytes waits for that thread only so long. Reading ahead also lets network and disk work at once.

The server's `read(n)` returns when it has n bytes, not before, so a slow client and one that stands still look the same
while n is large. So n is what came within a second, as far as can be known before; and where a read is overdue all the
same, since the client has become slower, the kernel tells whether bytes still come (`connections.quiet`).

A request that is answered while the thread still reads must not be given back to the server: granian then waits for the
read with the interpreter's lock in its hand, and the process stands still. So the answer is sent as a stream, whose end
waits for that of the read (`wait`), and a connection over which nothing moves is dropped, which ends it. All threads of
a server are drawn in lading.server.serve.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from typing import Final

from werkzeug.wrappers import Request
from werkzeug.wsgi import get_input_stream

from lading.http.request_connection import ConnectionState, RequestConnection
from lading.http.tcp_info import close_idle, seconds_since_data
from lading.registry.errors import (
    BODY_STALLED,
    BODY_TOO_LARGE,
    BODY_TRUNCATED,
    LENGTH_REQUIRED,
    SIZE_MISMATCH,
    UNAVAILABLE,
    RegistryError,
)

log = logging.getLogger("lading")

CHUNK_SIZE: Final = 384 * 1024
"""Bytes that are read at a time: smaller pieces are handed over more often, and that costs more than to copy them."""

FIRST_CHUNK_SIZE: Final = 64 * 1024
"""Bytes of the first read of a body that is wanted: small bodies come whole, and large ones lose nothing by it."""

SMALL_CHUNK_SIZE: Final = 16 * 1024
"""Bytes of the largest read of a body that has little time: the thread cannot be had back before the read ends."""

TARGET_READ_SECONDS: Final = 1.0
"""Seconds that a read should take at the most: the next one asks for less, or, where it was quick, for more."""

READ_AHEAD_CHUNKS: Final = 2
"""Pieces read ahead: with the one in hand, what a body has in memory."""

MAX_DRAIN_BYTES: Final = 8 * 1024 * 1024
DRAIN_TIMEOUT: Final = 2.0
"""How much of a refused body is read and thrown away, so that clients that send first and then listen get an answer."""

MAX_PROXY_DRAIN_BYTES: Final = 64 * 1024 * 1024
PROXY_DRAIN_TIMEOUT: Final = 10.0
"""… behind a proxy, which may answer 502 in our place where our answer comes before the end of the request."""

JOIN_TIMEOUT: Final = 1.0
"""Seconds for a thread that has read all to end."""

POLL_INTERVAL: Final = 1.0
"""Seconds between looks at connections."""


class RequestBody:
    """The body of one request, to be read once.

    size  how many bytes the client says that it has, or None
    """

    def __init__(
        self, request: Request, stall_timeout: float, max_size: int = 0, drain_slots: BoundedSemaphore | None = None
    ) -> None:
        """Prepare to read; nothing is read before `chunks`.

        patience  seconds that the body may stand still: no byte comes
        most      bytes of the largest body that is taken, or 0 for any
        places    for reading what need not be read; None for one of its own
        """
        unsized = "HTTP_TRANSFER_ENCODING" in request.environ
        # Whatever the method: what is not read of it stands where the next request would begin.
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

    @property
    def unread(self) -> bool:
        """Whether bytes may be left."""
        return not self._ended

    def chunks(self, size: int | None = None, deadline: float = math.inf) -> Iterator[bytes]:
        """The pieces, none empty, and never more bytes than `size`, or else Content-Length, says.

        until  when the body must have come at the latest, as time.monotonic() tells

        Raises BODY_STALLED, BODY_TOO_LARGE, BODY_CUT, and SIZE_MISMATCH where the body has not just so many bytes.
        Where the length was not said and it is not certain that the body was cut, it ends; so its digest must be
        checked.
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
        """Take one of the places, if one is free within so long, until the server's read has ended.

        So clients that send slowly, or not at all, never have all threads.
        """
        if not self._has_drain_slot:
            self._has_drain_slot = self._drain_slots.acquire(timeout=timeout)
        return self._has_drain_slot

    def call_on_close(self, call: Callable[[], object]) -> None:
        """Call this when the server's read has ended, and the thread is free."""
        self._close_callbacks.append(call)

    def read(self, max_size: int, timeout: float = math.inf, *, digest_checked: bool = False) -> bytes | None:
        """The whole body, or None where it has more than `max_size` bytes: then no more than one piece is too much.

        seconds  in which it must come; by default as many as it may stand still, for each 384 KiB of `max_size`
        checked  whether the caller checks the digest of the content

        Raises as `chunks`; and LENGTH_REQUIRED or UNAVAILABLE where it cannot be told whether the body was cut.
        """
        until = time.monotonic() + min(timeout, self._stall_timeout * (1 + max_size // CHUNK_SIZE))
        self._small_reads = timeout < self._stall_timeout
        self._stall_timeout = min(self._stall_timeout, timeout)
        if self.size is not None and self.size > max_size:
            return None
        content = bytearray()
        for chunk in self.chunks(deadline=until):
            content += chunk
            if len(content) > max_size:
                return None
        if not digest_checked:
            self._check_whole()
        return bytes(content)

    def _check_whole(self) -> None:
        if self._connection_state is ConnectionState.UNKNOWN:
            raise RegistryError(LENGTH_REQUIRED)
        if self._connection_state is ConnectionState.AMBIGUOUS:
            raise RegistryError(UNAVAILABLE)

    def drain(self, *, behind_proxy: bool = False) -> None:
        """Throw away what is left, within limits. A client that waits for `100 Continue` is not asked for more."""
        most, seconds = (
            (MAX_PROXY_DRAIN_BYTES, PROXY_DRAIN_TIMEOUT) if behind_proxy else (MAX_DRAIN_BYTES, DRAIN_TIMEOUT)
        )
        if "Expect" in self._request.headers or self._stalled:
            return
        self._small_reads = True
        until, drained = time.monotonic() + seconds, 0
        try:
            while drained < most and time.monotonic() < until:
                chunk = self._next(until)
                if not chunk:
                    return
                drained += len(chunk)
        except RegistryError:
            return

    def close(self) -> bool:
        """Let the reading thread go; answers whether it has gone. If not, the answer must end with `wait`."""
        if self._read_ahead is not None:
            self._read_ahead.close()
            self._read_ahead.join(JOIN_TIMEOUT if self._ended else 0)
            if self._read_ahead.is_alive():
                return False
        self._release()
        return True

    def wait(self) -> None:
        """Return when the server's read has ended, and never before: granian would stop the whole process."""
        assert self._read_ahead is not None
        while self._read_ahead.is_alive():
            try:
                self._close_idle()
            except Exception:
                log.exception("connections over which nothing moves cannot be dropped; trying again")
            self._read_ahead.join(POLL_INTERVAL)
        self._release()

    def _close_idle(self) -> None:
        """Drop the client's connection, where nothing moves over it."""
        environ = self._request.environ
        # Twice the patience: a client that stalled as long as this one has had its answer by then.
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

    def _next(self, until: float) -> bytes:
        """The next piece, or b"" at the end.

        Raises BODY_STALLED where the body stands still, or ends after `until`, and BODY_CUT where its connection ended.
        """
        if self._ended:
            return b""
        if self._read_ahead is None:
            if self.size is None:
                # Before anything is read, so that it is among the candidates.
                self._connection = RequestConnection(self._request.environ)
            self._read_ahead = ReadAhead(self._request, self._small_reads)
            self._read_ahead.start()
        piece = self._next_chunk(self._read_ahead, until)
        if isinstance(piece, Exception):
            self._ended = True
            raise RegistryError(SIZE_MISMATCH) from piece
        self._ended = not piece
        self._received += len(piece)
        if self._ended and self._connection:
            self._connection_state = self._connection.state(self._received)
            if self._connection_state is ConnectionState.CLOSED:
                raise RegistryError(BODY_TRUNCATED)
        return piece

    def _next_chunk(self, pump: "ReadAhead", until: float) -> bytes | Exception:
        """What the pump reads next. Raises BODY_STALLED."""
        overdue = time.monotonic() + self._stall_timeout
        while True:
            left = min(overdue, until) - time.monotonic()
            try:
                return pump.next(max(0, min(POLL_INTERVAL, left)))
            except Empty:
                now = time.monotonic()
                if overdue <= now < until and pump.read_size > 1:
                    overdue = now + self._stall_timeout - self._seconds_since_data()
                self._stalled = min(overdue, until) <= now
                if self._stalled:
                    raise RegistryError(BODY_STALLED) from None

    def _seconds_since_data(self) -> float:
        """Seconds since the client, or another one at its address, sent anything."""
        environ = self._request.environ
        return seconds_since_data(int(environ.get("SERVER_PORT", 0)), environ.get("REMOTE_ADDR", ""))


class ReadAhead(Thread):
    """The thread that reads ahead. Most requests have no body, and need none.

    Two plain queues, one of them of leave to read, keep it AHEAD: they are made in C, and a queue with a bound is not.

    asked  bytes that it waits for
    """

    def __init__(self, request: Request, small_reads: bool) -> None:
        """Read piece by piece.

        hurried  whether the body has little time: then reads begin with a byte, and stay small
        """
        super().__init__(name="body", daemon=True)
        self._chunks: SimpleQueue[bytes | Exception] = SimpleQueue()
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(READ_AHEAD_CHUNKS):
            self._permits.put(None)
        self._environ = request.environ
        self._max_read_size = SMALL_CHUNK_SIZE if small_reads else CHUNK_SIZE
        self.read_size = 1 if small_reads else FIRST_CHUNK_SIZE
        self._closed = False

    def run(self) -> None:
        """Read until the end of the body, or until it is closed."""
        try:
            stream = get_input_stream(self._environ)
            piece = b"-"
            while piece:
                self._permits.get()
                if self._closed:
                    return
                began = time.monotonic()
                piece = stream.read(self.read_size)
                self._chunks.put(piece)
                self.read_size = self._next_read_size(time.monotonic() - began)
        except Exception as error:  # whatever a server raises when a client goes away
            self._chunks.put(error)

    def _next_read_size(self, seconds: float) -> int:
        """The bytes to ask for, after a read that took so long."""
        if seconds > TARGET_READ_SECONDS:
            return max(1, int(self.read_size / seconds))
        return min(self._max_read_size, self.read_size * 2) if 2 * seconds < TARGET_READ_SECONDS else self.read_size

    def next(self, seconds: float) -> bytes | Exception:
        """What it reads next: b"" at the end, an exception where the client went away. Raises Empty after so long."""
        piece = self._chunks.get(timeout=seconds)
        self._permits.put(None)
        return piece

    def close(self) -> None:
        """Let it end with the read that it is in, and what was read and not wanted be gone at once."""
        self._closed = True
        self._permits.put(None)
        while not self._chunks.empty():
            self._chunks.get_nowait()
