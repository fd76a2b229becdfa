"""One port for two servers, since Firestore has both REST and gRPC on its own; and real resets of connections.

Over HTTP/2 one connection carries all calls, so a reset of one resets all.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Final, Self

HTTP2: Final = b"PRI * HTTP/2.0"
"""How an HTTP/2 connection begins (RFC 9113, section 3.4)."""


class Relay:
    """Passes connections on by their first bytes: HTTP/2 to one port, HTTP/1.1 to another."""

    def __init__(self) -> None:
        """Listen within the block; the ports to pass on to may be set later."""
        self.http2 = self.http1 = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._over_http2: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay")

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> None:
        """Reset every connection over HTTP/2."""
        self._do(self._reset())

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _reset(self) -> None:
        for writer in self._over_http2:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        passing = asyncio.all_tasks() - {asyncio.current_task()}
        if passing:
            await asyncio.wait(passing)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(len(HTTP2))
        over_http2 = first == HTTP2
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.http2 if over_http2 else self.http1)
        far_writer.write(first)
        both = {writer, far_writer}
        self._writers |= both
        self._over_http2 |= both if over_http2 else set()
        try:
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))
        finally:
            self._writers -= both
            self._over_http2 -= both


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on until either side ends."""
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()
