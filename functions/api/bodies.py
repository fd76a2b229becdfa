"""A request's body, in pieces, with an end to waiting.

A WSGI server's `read` blocks for as long as a client likes, and nothing can end it. So a thread of its own reads ahead,
and whoever wants the bytes waits for that thread only so long. Reading ahead also lets network and disk work at once.

A request that is answered while the thread still reads must not be given back to the server: granian then waits for the
read with the interpreter's lock in its hand, and the process stands still. So the answer is sent as a stream that ends
only with the read (`until_read`), and a connection over which nothing moves is dropped, which ends it.
"""

import time
from collections.abc import Iterator
from queue import Empty, Queue
from threading import Event, Thread
from typing import Final

from werkzeug.wrappers import Request
from werkzeug.wsgi import get_input_stream

from functions.api.connections import drop_still
from functions.registry.errors import BODY_STALLED, BODY_TOO_LARGE, SIZE_WRONG, RegistryError

PIECE: Final = 256 * 1024
AHEAD: Final = 2
"""Pieces read ahead: with the one in hand, what a body has in memory."""

DRAIN_BYTES: Final = 8 * 1024 * 1024
DRAIN_SECONDS: Final = 2.0
"""How much of a refused body is read and thrown away, so that clients that send first and then listen get an answer."""

GOODBYE: Final = 1.0
"""Seconds for a thread that has read all to end."""

LOOK_AGAIN: Final = 1.0
"""Seconds between looks for a connection that can be dropped."""

WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})


class RequestBody:
    """The body of one request, to be read once.

    size  how many bytes the client says that it has, or None
    """

    def __init__(self, request: Request, patience: float, most: int = 0) -> None:
        """Prepare to read; nothing is read before `chunks`.

        patience  seconds to wait for each 256 KiB piece
        most      bytes of the largest body that is taken, or 0 for any
        """
        self.size = request.content_length
        self._request = request
        self._patience = patience
        self._most = most
        self._pump: _Pump | None = None
        self._stalled = False
        self._ended = request.method not in WITH_BODY or self.size == 0

    @property
    def unread(self) -> bool:
        """Whether bytes may be left."""
        return not self._ended

    def chunks(self, size: int | None = None) -> Iterator[bytes]:
        """The pieces, none empty, and never more bytes than `size`, or else Content-Length, says.

        Raises BODY_STALLED, BODY_TOO_LARGE, and SIZE_WRONG where the body has not just so many bytes.
        """
        expected, received = self.size if size is None else size, 0
        self._check(expected or 0)
        while chunk := self._next(self._patience):
            received += len(chunk)
            self._check(received)
            if expected is not None and received > expected:
                break
            yield chunk
        if expected is not None and received != expected:
            raise RegistryError(SIZE_WRONG, {"expected": expected})

    def read(self, most: int) -> bytes | None:
        """The whole body, or None where it has more than `most` bytes: then no more than one piece is too much."""
        if self.size is not None and self.size > most:
            return None
        content = bytearray()
        for chunk in self.chunks():
            content += chunk
            if len(content) > most:
                return None
        return bytes(content)

    def drain(self) -> None:
        """Throw away what is left, within limits. A client that waits for `100 Continue` is not asked for more."""
        if "Expect" in self._request.headers or self._stalled:
            return
        deadline, drained = time.monotonic() + DRAIN_SECONDS, 0
        try:
            while drained < DRAIN_BYTES and (left := deadline - time.monotonic()) > 0:
                chunk = self._next(left)
                if not chunk:
                    return
                drained += len(chunk)
        except RegistryError:
            return

    def close(self) -> bool:
        """Let the reading thread go; answers whether it has gone. If not, the answer must end with `until_read`."""
        if self._pump is None:
            return True
        self._pump.close()
        self._pump.join(GOODBYE if self._ended else 0)
        return not self._pump.is_alive()

    def until_read(self) -> Iterator[bytes]:
        """No bytes, and an end only when the server's read has ended."""
        assert self._pump is not None
        environ = self._request.environ
        while self._pump.is_alive():
            # Twice the patience: whoever stalled as long as this client has had his answer by then.
            drop_still(int(environ["SERVER_PORT"]), environ.get("REMOTE_ADDR", ""), 2 * self._patience)
            self._pump.join(LOOK_AGAIN)
        yield b""

    def _check(self, size: int) -> None:
        if self._most and size > self._most:
            raise RegistryError(BODY_TOO_LARGE)

    def _next(self, patience: float) -> bytes:
        """The next piece, or b"" at the end."""
        if self._ended:
            return b""
        if self._pump is None:
            self._pump = _Pump(self._request)
            self._pump.start()
        try:
            piece = self._pump.pieces.get(timeout=patience)
        except Empty:
            self._stalled = True
            raise RegistryError(BODY_STALLED) from None
        if isinstance(piece, Exception):
            self._ended = True
            raise RegistryError(SIZE_WRONG) from piece
        self._ended = not piece
        return piece


class _Pump(Thread):
    """The thread that reads ahead. Most requests have no body, and need none.

    pieces  what it has read: b"" for the end, an exception where the client went away
    """

    def __init__(self, request: Request) -> None:
        super().__init__(name="body", daemon=True)
        self.pieces: Queue[bytes | Exception] = Queue(AHEAD)
        self._environ = request.environ
        self._closed = Event()

    def run(self) -> None:
        try:
            stream = get_input_stream(self._environ)
            piece = b"-"
            while piece and not self._closed.is_set():
                piece = stream.read(PIECE)
                self.pieces.put(piece)
        except Exception as error:  # whatever a server raises when a client goes away
            self.pieces.put(error)

    def close(self) -> None:
        """Let it end with the read that it is in."""
        self._closed.set()
        while not self.pieces.empty():
            self.pieces.get_nowait()
