"""The thread that reads the body of a request ahead of its consumer."""

import time
from queue import SimpleQueue
from threading import Thread
from typing import Final

from werkzeug.wrappers import Request
from werkzeug.wsgi import get_input_stream

CHUNK_SIZE: Final = 384 * 1024
"""Bytes of the largest read: smaller chunks pass between threads more often, which costs more than copying them."""

FIRST_CHUNK_SIZE: Final = 64 * 1024
"""Bytes of the first read: a small body comes in one chunk, and a large one loses nothing by it."""

SMALL_CHUNK_SIZE: Final = 16 * 1024
"""Bytes of the largest read of a body with a short timeout: the thread is not free before its read ends."""

TARGET_READ_SECONDS: Final = 1.0
"""Seconds that a read should take at most. After a slower one the next read is smaller, after a fast one larger."""

GROWTH: Final = 6
"""Factor between two reads at most: from the first read of a body to the largest at once."""

SMALL_GROWTH: Final = 2
"""The same with a short timeout."""

READ_AHEAD_CHUNKS: Final = 2
"""Chunks read ahead. Together with the one in use they are what a body has in memory."""


class ReadAhead(Thread):
    """The thread that reads ahead, started only for a body that is read.

    Two unbounded queues, one of them of permits to read, limit it to READ_AHEAD_CHUNKS: SimpleQueue is implemented in
    C, and the bounded Queue is not.

    read_size  bytes of the current read
    """

    def __init__(self, request: Request, small_reads: bool) -> None:
        """Prepare to read chunk by chunk.

        Args:
            request: the request.
            small_reads: whether the body has a short timeout; then reads begin with one byte, and stay small.
        """
        super().__init__(name="body", daemon=True)
        self._chunks: SimpleQueue[bytes | Exception] = SimpleQueue()
        self._permits: SimpleQueue[None] = SimpleQueue()
        for _ in range(READ_AHEAD_CHUNKS):
            self._permits.put(None)
        self._environ = request.environ
        self._max_read_size = SMALL_CHUNK_SIZE if small_reads else CHUNK_SIZE
        self.read_size = 1 if small_reads else FIRST_CHUNK_SIZE
        self._growth = SMALL_GROWTH if small_reads else GROWTH
        self._closed = False

    def run(self) -> None:
        """Read until the end of the body, or until `close`."""
        try:
            stream = get_input_stream(self._environ)
            chunk = b"-"
            while chunk:
                self._permits.get()
                if self._closed:
                    return
                began = time.monotonic()
                chunk = stream.read(self.read_size)
                self._chunks.put(chunk)
                self.read_size = self._next_read_size(time.monotonic() - began)
        except Exception as error:  # servers raise various types when a client disconnects
            self._chunks.put(error)

    def _next_read_size(self, seconds: float) -> int:
        """Return the bytes of the next read, after one that took `seconds`."""
        if seconds > TARGET_READ_SECONDS:
            return max(1, int(self.read_size / seconds))
        # Twice the target leaves room for a client that becomes slower.
        factor = min(self._growth, TARGET_READ_SECONDS / (2 * seconds)) if seconds else self._growth
        return min(self._max_read_size, int(self.read_size * max(1, factor)))

    def next(self, timeout: float) -> bytes | Exception:
        """Return the next chunk: b"" at the end, an exception where the client has disconnected.

        Raises Empty after `timeout` seconds.
        """
        chunk = self._chunks.get(timeout=timeout)
        self._permits.put(None)
        return chunk

    def close(self) -> None:
        """Make the thread end after its present read, and free the chunks that were not consumed."""
        self._closed = True
        self._permits.put(None)
        while not self._chunks.empty():
            self._chunks.get_nowait()
