"""Requests over HTTP/1.1 with unclear ends: never two answers to one, never one that hides in another, and no hang."""

import contextlib
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.corpus.framing import LAST, ROWS, SMUGGLED
from tests.support.server_process import Server, serving

HANG: Final = 120.0
"""Seconds after which a connection that the server does not end is a fault: far more than any load makes of two."""


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A registry for all rows: one that is confused by a row fails with the next."""
    folder = tmp_path_factory.mktemp("framing")
    environment = {"LADING_DATA": str(folder / "data"), "LADING_THREADS": "8", "LADING_BODY_TIMEOUT": "1"}
    with serving(environment, folder / "log") as server:
        yield server


def statuses(received: bytes) -> tuple[int, ...]:
    """The statuses of all final answers. Raises ValueError where a byte is left that belongs to none."""
    found = []
    while received:
        head, separator, received = received.partition(b"\r\n\r\n")
        first, *headers = head.lower().split(b"\r\n")
        if not separator or not first.startswith(b"http/1.1 "):
            raise ValueError(head)
        lengths = [int(line.partition(b":")[2]) for line in headers if line.startswith(b"content-length:")]
        if not first.startswith(b"http/1.1 100"):
            found.append(int(first[9:12]))
            received = received[sum(lengths) :]
    return tuple(found)


def exchange(server: Server, sent: bytes) -> bytes:
    """Send all of it in one piece, and return what comes until the server ends the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=HANG) as connection:
        connection.sendall(sent)
        # The server may end the connection with something unread.
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
    return received


@pytest.mark.parametrize("row", ROWS)
def test_a_request_ends_where_it_ends(row: str, open_server: Server) -> None:
    expected, sent = ROWS[row]

    assert statuses(exchange(open_server, sent + SMUGGLED + LAST)) == expected

    assert open_server.request("GET", "/v2/")[0].status == 200
