"""Requests over HTTP/2 that RFC 9113 calls malformed: no handler is called with them, and the next client is served."""

import contextlib
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
from hpack import Decoder

from storage.digests import digest_of
from tests.faults.http2 import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PING,
    RST_STREAM,
    ask,
    connected,
    field,
    frame,
)
from tests.servers import Server, serving

GOAWAY: Final = 7
PADDED: Final = 8
GOOD: Final = 5
"""The stream of a good request after the bad one."""

LAST: Final = b"the last"
BODY: Final = b"abc"
PUSH: Final = f"/v2/a/blobs/uploads/?digest={digest_of(BODY)}"
GET: Final = {":method": "GET", ":scheme": "http", ":path": "/v2/", ":authority": "localhost"}
POST: Final = GET | {":method": "POST", ":path": PUSH}


def block(fields: Mapping[str, str], *more: tuple[str, str]) -> bytes:
    """A block of headers, in this order."""
    return b"".join(field(name, value) for name, value in [*fields.items(), *more])


def get(*more: tuple[str, str], **changes: str | None) -> bytes:
    """A request without a body; a pseudo-header that is None is left out."""
    fields = GET | {f":{name}": value for name, value in changes.items()}
    kept = {name: value for name, value in fields.items() if value is not None}
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, block(kept, *more))


def push(length: str) -> bytes:
    """A request with BODY, which says how long it is."""
    headers = frame(HEADERS, END_HEADERS, 1, block(POST, ("content-length", length)))
    return headers + frame(DATA, END_STREAM, 1, BODY)


ROWS: Final[dict[str, bytes]] = {
    "no path": get(path=None),
    "no method": get(method=None),
    "no scheme": get(scheme=None),
    "an empty path": get(path=""),
    "two paths": get((":path", "/v2/_catalog")),
    "two methods": get((":method", "DELETE")),
    "a pseudo-header after others": frame(HEADERS, END_HEADERS | END_STREAM, 1, field("a", "b") + block(GET)),
    "an unknown pseudo-header": get((":admin", "true")),
    "a response's pseudo-header": get((":status", "200")),
    "a name in capitals": get(("Authorization", "Basic x")),
    "a name with a colon": get(("a:b", "c")),
    "a name with a space": get(("a b", "c")),
    "a name with a line's end": get(("a\r\nb", "c")),
    "an empty name": get(("", "c")),
    "a value with a line's end": get(("a", "b\r\nc: d")),
    "a value with a null byte": get(("a", "b\x00c")),
    "a path with a line's end": get(path="/v2/ HTTP/1.1\r\nHost: y\r\n\r\nGET /v2/"),
    "a path with a space": get(path="/v2/ x"),
    "a method with a line's end": get(method="GET /v2/ HTTP/1.1\r\nHost: y\r\n\r\nGET"),
    "a header of a connection": get(("connection", "close")),
    "chunks": get(("transfer-encoding", "chunked")),
    "a length and no body": get(("content-length", "3")),
    "a body that is shorter": push("4"),
    "a body that is longer": push("2"),
    "a length below zero": push("-3"),
    "headers of stream 0": frame(HEADERS, END_HEADERS | END_STREAM, 0, block(GET)),
    "headers of a stream of the server's": frame(HEADERS, END_HEADERS | END_STREAM, 2, block(GET)),
    "data before headers": frame(DATA, END_STREAM, 1, BODY),
    "another frame within headers": frame(HEADERS, END_STREAM, 1, block(GET)[:9]) + frame(PING, 0, 0, bytes(8)),
    "headers that go on in another stream": frame(HEADERS, END_STREAM, 1, block(GET)[:9])
    + frame(CONTINUATION, END_HEADERS, 3, block(GET)[9:]),
    "more padding than there is": frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + block(GET)),
    "an index that no table has": frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET) + b"\xff\x80\x01"),
    "a frame that is too large": frame(HEADERS, END_HEADERS | END_STREAM, 1, block(GET) + b"\x00" * 70_000),
}


@pytest.fixture(scope="module")
def http2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("http2")
    with serving({"LADING_DATA": str(folder / "data"), "LADING_BODY_TIMEOUT": "1"}, folder / "log") as server:
        yield server


def frames(sock: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield the kind, the stream and the payload of each frame until the connection ends."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(1 << 16):
            received += piece
            while len(received) >= 9 and len(received) >= (size := 9 + int.from_bytes(received[:3], "big")):
                yield received[3], int.from_bytes(received[5:9], "big"), received[9:size]
                received = received[size:]


def exchange(server: Server, sent: bytes) -> set[tuple[int, int]]:
    """Send frames, then a good request, then a PING; return the stream and the status of what was answered.

    The status of a stream that was reset is 0, and 0 for stream 0 tells that the connection ended.
    """
    decoder, found = Decoder(), set()
    with connected(server) as sock:
        sock.sendall(sent + frame(HEADERS, END_HEADERS | END_STREAM, GOOD, block(GET)))
        for kind, stream, payload in frames(sock):
            if kind == HEADERS:
                found.add((stream, int({str(name): value for name, value in decoder.decode(payload)}[":status"])))
            elif kind == RST_STREAM:
                found.add((stream, 0))
            elif kind == GOAWAY:
                break
            elif kind == PING and payload == LAST:
                return found
            if stream == GOOD:
                sock.sendall(frame(PING, 0, 0, LAST))
    return found | {(0, 0)}


@pytest.mark.parametrize("row", ROWS)
def test_a_malformed_request_is_none(row: str, http2: Server) -> None:
    assert exchange(http2, ROWS[row]) in ({(1, 0), (GOOD, 200)}, {(0, 0)}, {(1, 0), (0, 0)})

    assert ask(http2, "GET", "/v2/")[0] == 200
    assert ask(http2, "HEAD", f"/v2/a/blobs/{digest_of(BODY)}")[0] == 404


def test_what_the_rows_differ_from_is_answered(tmp_path: Path) -> None:
    with serving({"LADING_DATA": str(tmp_path / "data")}, tmp_path / "log") as server:
        assert ask(server, "GET", "/v2/")[0] == 200
        assert ask(server, "POST", PUSH, BODY)[0] == 201
