"""A client of HTTP/2 without TLS (h2c), stream by stream, as Google's front speaks to a container."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, WindowUpdated

from tests.servers import Server

TIMEOUT: Final = 60.0
"""Seconds without a byte."""


@dataclass
class Answer:
    """What has come over a stream: status 0 until there is one, `reset` where the other side reset the stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    ended: bool = False
    reset: bool = False


class Http2:
    """One connection, on which many requests are at work."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        """Speak over a connected socket, with the authorization of `server`."""
        self._sock = sock
        self._server = server
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._answers: dict[int, Answer] = {}
        self._h2.initiate_connection()
        self._flush()

    def begin(self, method: str, path: str, headers: Mapping[str, str] | None = None, end: bool = False) -> int:
        """Send the headers of a request, and with `end` nothing else; return the stream."""
        stream = self._h2.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "http"), (":path", path), (":authority", self._server.host)]
        known = {"authorization": self._server.authorization, **(headers or {})}
        self._answers[stream] = Answer()
        self._h2.send_headers(stream, [*pseudo, *((name.lower(), value) for name, value in known.items())], end)
        self._flush()
        return stream

    def send(self, stream: int, content: bytes, end: bool = False) -> None:
        """Send a part of a body, as far as the other side takes it: less where it has answered or reset the stream."""
        while content and not self._is_over(stream):
            size = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(content))
            if size:
                self._h2.send_data(stream, content[:size])
                content = content[size:]
                self._flush()
            else:
                self._receive()
        if end and not self._is_over(stream):
            self._h2.end_stream(stream)
            self._flush()

    def reset(self, stream: int) -> None:
        """Reset a stream, as a front does whose client went away."""
        self._h2.reset_stream(stream, ErrorCodes.CANCEL)
        self._flush()

    def answer(self, stream: int) -> Answer:
        """Wait for the end of a stream's answer."""
        while not self._is_over(stream):
            self._receive()
        return self._answers[stream]

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """One whole request."""
        stream = self.begin(method, path, headers, end=not body)
        self.send(stream, body, end=bool(body))
        return self.answer(stream)

    def _is_over(self, stream: int) -> bool:
        return self._answers[stream].ended or self._answers[stream].reset

    def _receive(self) -> None:
        received = self._sock.recv(1 << 18)
        if not received:
            raise ConnectionError("the connection ended")
        for event in self._h2.receive_data(received):
            self._take(event)
        self._flush()

    def _take(self, event: Event) -> None:
        match event:
            case ResponseReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                answer = self._answers[event.stream_id]
                answer.status, answer.headers = int(headers[":status"]), headers
            case DataReceived():
                self._answers[event.stream_id].body += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamEnded():
                self._answers[event.stream_id].ended = True
            case StreamReset():
                self._answers[event.stream_id].reset = True
            case WindowUpdated():
                pass

    def _flush(self) -> None:
        self._sock.sendall(self._h2.data_to_send())


@contextlib.contextmanager
def connected(server: Server) -> Iterator[Http2]:
    """A connection to a server, until the block ends."""
    with socket.create_connection(("127.0.0.1", server.port), TIMEOUT) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Http2(sock, server)
