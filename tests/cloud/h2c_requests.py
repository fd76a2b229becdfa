"""Requests to a registry over HTTP/2 without TLS (h2c), as Google's front sends them: many on a connection."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.support import http2_client
from tests.support.http2_client import Client, Reply
from tests.support.server_process import Server

Headers = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class H2cConnection:
    """One connection, with the authorization of `server`."""

    client: Client
    server: Server

    def send_headers(self, method: str, path: str, headers: Headers = (), end: bool = False) -> int:
        """Send the headers of a request, and with `end` nothing else; return the stream."""
        given = headers.items() if isinstance(headers, Mapping) else headers
        fields = [("authorization", self.server.authorization), *((name.lower(), value) for name, value in given)]
        return self.client.send(method, path, fields, b"" if end else None)

    def send(self, stream: int, content: bytes, end: bool = False) -> None:
        """Send a part of a body, as far as the other side takes it: nothing once it has answered."""
        reply, step = self.client.replies[stream], 1 << 16
        for at in range(0, len(content), step):
            if not reply.ended and reply.reset is None:
                self.client.send_body(stream, content[at : at + step])
        if end and not reply.ended and reply.reset is None:
            self.client.send_body(stream, b"", end=True)

    def wait_for_response(self, stream: int) -> Reply:
        """Wait for the end of a stream's answer."""
        return self.client.reply(stream)

    def request(self, method: str, path: str, body: bytes = b"", headers: Headers = ()) -> Reply:
        """One whole request."""
        stream = self.send_headers(method, path, headers, end=not body)
        if body:
            self.send(stream, body, end=True)
        return self.wait_for_response(stream)


@contextlib.contextmanager
def connected(server: Server) -> Iterator[H2cConnection]:
    """A connection to a server, until the block ends."""
    with http2_client.connected(server.port, server.host) as client:
        yield H2cConnection(client, server)
