"""Chunked requests that end before their last chunk, over any connection, as a client sends them that goes away."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Mapping
from typing import Final

Connection = socket.socket | ssl.SSLSocket
End = Callable[[Connection], None]


def reset(connection: Connection) -> None:
    """End with RST, as a killed process with unread data does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def close(connection: Connection) -> None:
    """End with FIN."""
    connection.close()


def half_close(connection: Connection) -> None:
    """End our side with FIN, and wait until the other ends, too."""
    # Below TLS: what is above would say its own farewell.
    socket.socket.shutdown(connection, socket.SHUT_WR)
    with contextlib.suppress(OSError):
        while connection.recv(4096):
            pass
    connection.close()


def close_notify(connection: Connection) -> None:
    """End TLS by its own message, and then at once the connection, as Go does; without TLS by FIN alone."""
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(0)
        with contextlib.suppress(OSError):
            connection.unwrap()
    connection.close()


ENDS: Final[Mapping[str, End]] = {"RST": reset, "FIN": close, "half": half_close, "close_notify": close_notify}

TRUNCATIONS: Final[Mapping[str, Callable[[bytes], bytes]]] = {
    "between chunks": lambda body: f"{len(body):x}\r\n".encode() + body + b"\r\n",
    "in a chunk": lambda body: f"{len(body) + 9:x}\r\n".encode() + body,
    "in a size": lambda body: f"{len(body):x}\r\n".encode() + body + b"\r\n1",
    "before the last line": lambda body: f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n",
}
"""What is sent of a body, chunked, before the end."""


def connect(address: tuple[str, int], tls: ssl.SSLContext | None = None) -> Connection:
    """Connect to an address."""
    plain = socket.create_connection(address, timeout=20)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(plain, server_hostname="localhost") if tls else plain


def send_truncated(connection: Connection, line: str, headers: Mapping[str, str], sent: bytes, end: End) -> None:
    """Send a request with what is `sent` of its chunked body, and end the connection.

    RST may take back what the server has not read: it waits until the server asks for the body.
    """
    all_headers = {"Host": "localhost", **headers, "Transfer-Encoding": "chunked"}
    if end is reset:
        all_headers["Expect"] = "100-continue"
    head = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
    connection.sendall(f"{line} HTTP/1.1\r\n{head}\r\n".encode())
    if end is reset:
        assert connection.recv(1024).startswith(b"HTTP/1.1 100 ")
    connection.sendall(sent)
    end(connection)
