"""HTTP/2 (RFC 9113) as no library would send it, and as one does."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Final

import h2.connection
import h2.events
from hpack.hpack import encode_integer

from tests.servers import Server

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PING: Final = 6
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

END_STREAM: Final = 1
END_HEADERS: Final = 4
ACK: Final = 1

HEADER_TABLE_SIZE: Final = 1
INITIAL_WINDOW_SIZE: Final = 4

CANCEL: Final = struct.pack(">I", 8)
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GREETING: Final = 9 + 4 * 6
"""Bytes, at the least, that a server says first."""

STRANGER: Final = "127.0.0.2"
"""Where floods come from."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame (section 4.1)."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(identifier: int, value: int) -> bytes:
    """One of the values in a frame of settings (section 6.5.1)."""
    return struct.pack(">HI", identifier, value)


def field(name: str, value: str, kept: bool = False) -> bytes:
    """A header, in letters (RFC 7541, section 6.2); `kept` in the table, where it has number 62 until the next is."""
    text = [bytes(encode_integer(len(word), 7)) + word.encode() for word in (name, value)]
    return (b"\x40" if kept else b"\x00") + b"".join(text)


def request(method: str, path: str, authorization: str = "") -> bytes:
    """The headers of a request, in a block."""
    fields = {":method": method, ":scheme": "http", ":path": path, ":authority": "localhost"}
    if authorization:
        fields["authorization"] = authorization
    return b"".join(field(name, value) for name, value in fields.items())


@contextlib.contextmanager
def connected(server: Server, settings: bytes = b"", address: str = STRANGER) -> Iterator[socket.socket]:
    """A connection over which both sides have said their settings."""
    with socket.create_connection(("127.0.0.1", server.port), 20, (address, 0)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))
        greeting = b""
        while len(greeting) < GREETING:
            greeting += sock.recv(4096)
        sock.sendall(frame(SETTINGS, ACK, 0))
        yield sock


def wait_for_pong(sock: socket.socket, number: int) -> None:
    """Send a PING, and read until it is answered: all that was sent before has been read. Raises OSError."""
    payload, seen = struct.pack(">Q", number), b""
    sock.sendall(frame(PING, 0, 0, payload))
    while payload not in seen:
        received = sock.recv(1 << 16)
        if not received:
            raise ConnectionError
        seen = seen[-7:] + received


def flood(sock: socket.socket, pieces: Iterable[bytes], most: int, seconds: float = 2) -> None:
    """Send so many bytes, and read nothing, until the other side ends it, or takes no more."""
    sock.settimeout(0.5)
    sent, until = 0, time.monotonic() + seconds
    with contextlib.suppress(OSError):
        for piece in pieces:
            if sent >= most or time.monotonic() > until:
                return
            sock.sendall(piece)
            sent += len(piece)


def ask(server: Server, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """A request as a well-behaved client sends it, with the server's authorization: its status and its content."""
    connection = h2.connection.H2Connection()
    headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", server.host)]
    with socket.create_connection(("127.0.0.1", server.port), 20) as sock:
        connection.initiate_connection()
        connection.send_headers(1, [*headers, ("authorization", server.authorization)], end_stream=not body)
        if body:
            connection.send_data(1, body, end_stream=True)
        status, content = 0, b""
        while True:
            sock.sendall(connection.data_to_send())
            received = sock.recv(1 << 16)
            assert received, "the connection was cut"
            for event in connection.receive_data(received):
                match event:
                    case h2.events.ResponseReceived():
                        status = int(next(value for name, value in event.headers if name == b":status"))
                    case h2.events.DataReceived():
                        content += event.data
                        connection.acknowledge_received_data(event.flow_controlled_length, 1)
                    case h2.events.StreamEnded():
                        return status, content
