"""Floods, over HTTP/2 above all: others are still served, memory stays small, and nothing is left behind."""

import contextlib
import itertools
import os
import resource
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from functions.registry.documents import OCI_MANIFEST
from storage.digests import digest_of
from storage.protocols import MOST_CONTENT
from tests import images
from tests.faults import NIGHTLY, http2
from tests.faults.http2 import END_HEADERS, END_STREAM, connected, field, flood, frame, request, setting
from tests.servers import Server, answer_on, serving, users

MIB = 1024 * 1024
LIMIT = 256 * MIB
PATIENCE = 40.0
UPLOADS = "/v2/a/blobs/uploads/"


HURRIED = """
import sys
from functions import cli, serve
serve.SWEEP, serve.STUCK, serve.STUCK_FOR_GOOD = 0.5, 1.0, 4.0
sys.exit(cli.main(["serve"]))
"""
"""`lading serve`, which looks more often, and waits less."""


@pytest.fixture
def hurry() -> bool:
    """Whether the registry looks more often, and waits less, for who takes nothing and what is lost."""
    return False


@pytest.fixture
def server(hurry: bool, tmp_path: Path) -> Iterator[Server]:
    """A registry as it is by default, whose blobs in `public` anybody may pull. Whatever was done to it has an end."""
    variables, authorization = users(tmp_path / "access")
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_PUBLIC": "public", **variables}
    command = ["env", "LADING_ADDRESS=127.0.0.1:{port}", sys.executable, "-c", HURRIED] if hurry else []
    with serving(environment, tmp_path / "log", command=command) as server:
        server.authorization = authorization
        yield server
        assert_others_are_served(server)
        assert server.peak_memory() < LIMIT
        assert_nothing_is_left(server)


def assert_others_are_served(server: Server) -> None:
    content, other = images.blob(), images.blob()
    path = f"/v2/a/blobs/{digest_of(content)}"
    pushed, _ = server.request("POST", f"{UPLOADS}?digest={digest_of(content)}", content)
    assert (pushed.status, *http2.ask(server, "GET", path)) == (201, 200, content)
    assert http2.ask(server, "POST", f"{UPLOADS}?digest={digest_of(other)}", other)[0] == 201
    pulled, body = server.request("GET", f"/v2/a/blobs/{digest_of(other)}")
    assert (pulled.status, body) == (200, other)


def assert_nothing_is_left(server: Server) -> None:
    """No connection, no thread that reads a body, none that is busy: the process has nothing to do."""
    eventually(lambda: not connections(server), "connections are left")
    eventually(lambda: not readers(server), "readers of bodies are left")
    eventually(lambda: processor_seconds(server, 0.2) < 0.1, "the process is busy")


def eventually(happened: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, otherwise
        time.sleep(0.1)


def connections(server: Server) -> int:
    """How many the process has, but for the one where it listens."""
    rows = [line.split() for line in Path(f"/proc/{server.process.pid}/net/tcp").read_text().splitlines()[1:]]
    here = f":{server.port:04X}"
    return sum(1 for row in rows if row[1].endswith(here) and row[3] in ("01", "08"))


def threads(server: Server) -> int:
    return len(os.listdir(f"/proc/{server.process.pid}/task"))


def readers(server: Server) -> bool:
    """Whether more threads are there than the server's own: readers, sweep, main and its threads for requests."""
    return threads(server) > 128 + 8


def processor_seconds(server: Server, seconds: float) -> float:
    def used() -> float:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = used()
    time.sleep(seconds)
    return used() - before


def test_requests_that_are_taken_back_all_at_once(server: Server) -> None:
    """CVE-2023-44487."""
    block = request("GET", "/v2/public/manifests/v1")
    with connected(server) as sock:
        flood(sock, (opened(block, stream) + taken_back(stream) for stream in range(1, 100_000, 2)), MIB * 16)
    assert_others_are_served(server)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_requests_that_are_taken_back_as_fast_as_they_are_accepted(server: Server, method: str) -> None:
    """Each time so many, and so late, that the server seldom sees a flood in it; if it does, over a new connection."""
    path, together = {"GET": "/v2/public/manifests/v1", "POST": UPLOADS}[method], 90
    block, body = request(method, path), b"" if method == "GET" else bytes(1000)
    left = 50_000 if NIGHTLY else 10_000
    while left > 0:
        with connected(server) as sock, contextlib.suppress(OSError):
            for first in range(1, 2 * left, 2 * together):
                left -= together
                streams = range(first, first + 2 * together, 2)
                sock.sendall(b"".join(opened(block, stream, body) for stream in streams))
                http2.wait_for_pong(sock, first)
                time.sleep(0.001)
                sock.sendall(b"".join(map(taken_back, streams)))
    assert_others_are_served(server)


def opened(block: bytes, stream: int, body: bytes = b"") -> bytes:
    """A request; where it has a body, that is only its beginning."""
    headers = frame(http2.HEADERS, END_HEADERS | (0 if body else END_STREAM), stream, block)
    return headers + (frame(http2.DATA, 0, stream, body) if body else b"")


def taken_back(stream: int) -> bytes:
    return frame(http2.RST_STREAM, 0, stream, http2.CANCEL)


@pytest.mark.parametrize("hurry", [True])
def test_uploads_that_are_cut_off(server: Server) -> None:
    """Of somebody who may push: the reads of granian 2.8 have no end then, and their threads none but the process's."""
    block, streams = request("POST", f"{UPLOADS}?digest={digest_of(b'all')}", server.authorization), range(1, 9, 2)
    with connected(server) as sock:
        sock.sendall(b"".join(opened(block, stream, bytes(16_000)) for stream in streams))
        http2.wait_for_pong(sock, 1)
        time.sleep(0.5)
        sock.sendall(b"".join(taken_back(stream) for stream in streams[:2]))
        http2.wait_for_pong(sock, 2)
    assert_nothing_is_left(server)
    eventually(lambda: answers(server), "it does not answer")


@pytest.mark.parametrize("hurry", [True])
def test_forms_without_a_length_that_are_cut_off(server: Server) -> None:
    """Of a stranger: he must not be read from in a way that only the process's end can end."""
    with connected(server) as sock:
        sock.sendall(opened(request("POST", "/v2/token"), 1, b"g"))
        http2.wait_for_pong(sock, 1)
        time.sleep(0.5)
    time.sleep(3)
    assert "beginning anew" not in server.log.read_text()


def answers(server: Server) -> bool:
    with contextlib.suppress(OSError):
        return server.request("GET", "/v2/")[0].status == 200
    return False


@pytest.mark.parametrize("many", [1, 40])
def test_bodies_that_stall_on_all_streams(server: Server, many: int) -> None:
    block = request("POST", UPLOADS)
    with contextlib.ExitStack() as stack:
        for _ in range(many):
            sock = stack.enter_context(connected(server))
            flood(sock, (opened(block, stream, bytes(1200)) for stream in range(1, 200, 2)), MIB)
        for _ in range(3):
            assert_others_are_served(server)


SMALL_FRAMES = [
    frame(http2.SETTINGS, 0, 0, setting(http2.INITIAL_WINDOW_SIZE, 65_535)),
    frame(http2.SETTINGS, 0, 0, setting(http2.HEADER_TABLE_SIZE, 0)),
    frame(http2.PING, 0, 0, bytes(8)),
    frame(http2.PRIORITY, 0, 9, struct.pack(">IB", 0, 16)),
    frame(http2.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)),
    frame(http2.WINDOW_UPDATE, 0, 1, struct.pack(">I", 1)),
    frame(http2.DATA, 0, 1),
    frame(http2.RST_STREAM, 0, 1, http2.CANCEL),
    frame(0xBB, 0, 0, bytes(100)),
]


def test_small_frames_without_end(server: Server) -> None:
    """Nobody reads what the server answers to them."""
    with contextlib.ExitStack() as stack:
        for small in SMALL_FRAMES:
            sock = stack.enter_context(connected(server))
            sock.sendall(opened(request("POST", UPLOADS), 1, b"some"))
            flood(sock, itertools.repeat(small * 500), (64 if NIGHTLY else 16) * MIB)
            assert_others_are_served(server)


@pytest.mark.parametrize("kind", ["blob", "manifest", "manifest in a record"])
def test_windows_that_never_open(server: Server, kind: str) -> None:
    """More downloads than threads, which nobody takes; nor are they still, since there are PINGs beside them."""
    path, content = push_large(server, kind)
    with contextlib.ExitStack() as stack:
        for window in (0, 1, 0, 1):
            sock = stack.enter_context(connected(server, setting(http2.INITIAL_WINDOW_SIZE, window)))
            sock.sendall(b"".join(opened(request("GET", path), stream) for stream in range(1, 200, 2)))
            http2.wait_for_pong(sock, 1)
        for _ in range(3):
            assert_others_are_served(server)
            assert server.request("GET", path)[1] == content
            assert http2.ask(server, "GET", path) == (200, content)


def push_large(server: Server, kind: str) -> tuple[str, bytes]:
    """Push a blob, or a manifest, that anybody may pull; answers its path, and its content."""
    if kind.endswith("blob"):
        content = os.urandom(32 * MIB if kind == "large blob" else 8 * MIB)
        path = f"/v2/public/blobs/{digest_of(content)}"
        pushed, _ = server.request("POST", f"/v2/public/blobs/uploads/?digest={digest_of(content)}", content)
    else:
        config = images.EMPTY_CONFIG
        pushed, _ = server.request("POST", f"/v2/public/blobs/uploads/?digest={digest_of(config)}", config)
        size = 4_000_000 if kind == "manifest" else MOST_CONTENT - 1000
        content = images.manifest([], annotations={"padding": "x" * size})
        path = "/v2/public/manifests/large"
        pushed, _ = server.request("PUT", path, content, {"Content-Type": OCI_MANIFEST})
    assert pushed.status == 201
    return path, content


@pytest.mark.parametrize("hurry", [True])
@pytest.mark.parametrize("pinging", [False, True])
def test_who_takes_nothing_is_cut_off(server: Server, pinging: bool) -> None:
    """Soon where the connection is still, and later where it is kept moving."""
    path, _ = push_large(server, "blob")
    with connected(server, setting(http2.INITIAL_WINDOW_SIZE, 0)) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(opened(request("GET", path), 1))
        if not pinging:
            while sock.recv(1 << 16):
                pass
            return
        for number in range(300):
            http2.wait_for_pong(sock, number)
            time.sleep(0.1)
        pytest.fail("it goes on")


@pytest.mark.parametrize("hurry", [True])
@pytest.mark.parametrize("kind", ["large blob", "manifest"])
def test_who_takes_nothing_does_no_harm_to_others_of_its_address(server: Server, kind: str) -> None:
    """A proxy has one address for all. Each of the others is at work for longer than all limits.

    A large blob fills all buffers on its way; a manifest fits into those of the server and the kernel.
    """
    path, content = push_large(server, kind)
    pieces = [os.urandom(1000) for _ in range(40)]
    with contextlib.ExitStack() as stack:
        deaf, slow = (stack.enter_context(connected_small(server)) for _ in range(2))
        upload = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20))
        for sock in (deaf, slow):
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head = f"POST {UPLOADS}?digest={digest_of(b''.join(pieces))} HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n"
        upload.sendall(f"{head}Authorization: {server.authorization}\r\n\r\n".encode())
        taken = 0
        for piece in pieces:
            upload.sendall(piece)
            taken += len(slow.recv(100_000))
            with contextlib.suppress(OSError):
                # So it is never still, as the next request would be.
                deaf.sendall(b"x")
            time.sleep(0.2)

        assert answer_on(upload)[0] == 201
        while taken < len(content):
            received = slow.recv(1 << 20)
            assert received, "the other download was cut off"
            taken += len(received)
        assert connections(server) == 2, "the one that took nothing is gone"


def connected_small(server: Server) -> socket.socket:
    """A connection whose client has little room for what it has not taken."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    return sock


def test_tables_of_headers_that_unfold(server: Server) -> None:
    """A byte of a header block stands for 4,000 bytes of a header (RFC 7541, section 7.3)."""
    block, again = request("GET", "/v2/public/manifests/v1"), b"\xbe"
    with connected(server) as sock:
        sock.sendall(opened(block + field("x-large", "x" * 3900, kept=True), 1))
        flood(sock, (opened(block + again * 7, stream) for stream in range(3, 180, 2)), MIB)
        flood(sock, (opened(block + again * 16_000, stream) for stream in range(181, 400, 2)), MIB)
        assert_others_are_served(server)


def test_many_header_blocks_without_end(server: Server) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4000)), hard))
    block = request("GET", "/v2/") + b"".join(field(f"x-{number}", "x" * 1000) for number in range(15))
    with contextlib.ExitStack() as stack:
        for _ in range(1000):
            sock = stack.enter_context(connected(server))
            sock.sendall(frame(http2.HEADERS, 0, 1, block) + frame(http2.CONTINUATION, 0, 1, block[-16_000:]))
        assert_others_are_served(server)


def test_pipelined_requests_whose_answers_nobody_reads(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20, (http2.STRANGER, 0)))
            flood(sock, itertools.repeat(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100, 100), 16 * MIB)
        assert_others_are_served(server)
