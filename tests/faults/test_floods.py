"""Floods: others are still served, memory stays small, and nothing is left behind."""

import contextlib
import http.client
import itertools
import os
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE
from tests.support import images
from tests.support.server_process import Server, read_response, serving, user_environment

MIB = 1024 * 1024
LIMIT = 256 * MIB
TIMEOUT = 40.0
UPLOADS = "/v2/a/blobs/uploads/"
ATTACKER = "127.0.0.2"


SHORT_TIMEOUT_SERVER = """
import sys
from lading import cli; from lading.server import connection_sweeper
connection_sweeper.SWEEP_INTERVAL, connection_sweeper.STALLED_RESPONSE_TIMEOUT = 0.5, 1.0
sys.exit(cli.main(["serve"]))
"""
"""`lading serve`, which looks more often, and waits less."""


@pytest.fixture
def short_timeouts() -> bool:
    """Whether the registry looks more often, and waits less, for clients that take nothing."""
    return False


@pytest.fixture
def server(short_timeouts: bool, tmp_path: Path) -> Iterator[Server]:
    """A registry as it is by default, whose blobs in `public` anybody may pull. Whatever was done to it has an end."""
    variables, authorization = user_environment(tmp_path / "access")
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_PUBLIC": "public", **variables}
    command = (
        ["env", "LADING_ADDRESS=127.0.0.1:{port}", sys.executable, "-c", SHORT_TIMEOUT_SERVER] if short_timeouts else []
    )
    with serving(environment, tmp_path / "log", command=command, new=True) as server:
        server.authorization = authorization
        yield server
        assert_others_are_served(server)
        assert server.peak_memory() < LIMIT
        assert_nothing_is_left(server)


def assert_others_are_served(server: Server) -> None:
    content = images.blob()
    pushed, _ = server.request("POST", f"{UPLOADS}?digest={digest_of(content)}", content)
    pulled, body = server.request("GET", f"/v2/a/blobs/{digest_of(content)}")
    assert (pushed.status, pulled.status, body) == (201, 200, content)


def assert_nothing_is_left(server: Server) -> None:
    """No connection, no thread that reads a body, none that is busy: the process has nothing to do."""
    eventually(lambda: not connections(server), "connections are left")
    eventually(lambda: not readers(server), "readers of bodies are left")
    eventually(lambda: processor_seconds(server, 0.2) < 0.1, "the process is busy")


def eventually(happened: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + TIMEOUT
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


def opened(server: Server, line: str, headers: str, body: bytes = b"") -> socket.socket:
    """A connection with the beginning of a request, whose client has little room for what it has not taken."""
    sock = connected_small(server)
    authorization = f"Authorization: {server.authorization}\r\n"
    sock.sendall(f"{line} HTTP/1.1\r\nHost: x\r\n{authorization}{headers}\r\n".encode() + body)
    return sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@pytest.mark.parametrize("end", [reset, socket.socket.close])
@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_uploads_that_are_cut_off(server: Server, length: str, end: Callable[[socket.socket], None]) -> None:
    body = f"{16_000:x}\r\n".encode() + bytes(16_000) if "chunked" in length else bytes(16_000)
    for _ in range(50):
        end(opened(server, f"POST {UPLOADS}?digest={digest_of(b'all')}", f"{length}\r\n", body))
    # They are the same user's, whose share is free again when the server has seen that they have ended.
    path = f"{UPLOADS}?digest={digest_of(b'all')}"
    eventually(lambda: server.request("POST", path, b"all")[0].status == 201, "no slot is free")


@pytest.mark.parametrize("many", [100, 1000])
def test_bodies_that_stall(server: Server, many: int) -> None:
    """Of a client without credentials."""
    authorization, server.authorization = server.authorization, "none"
    with contextlib.ExitStack() as stack:
        for _ in range(many):
            stack.enter_context(opened(server, f"POST {UPLOADS}", "Content-Length: 100000\r\n", bytes(1200)))
        server.authorization = authorization
        for _ in range(3):
            assert_others_are_served(server)


@pytest.mark.parametrize("kind", ["blob", "manifest", "manifest in a record"])
def test_downloads_that_are_not_read(server: Server, kind: str) -> None:
    """More of them than threads; nor are they still, since a client sends a byte now and then."""
    path, content = push_large(server, kind)
    with contextlib.ExitStack() as stack:
        for _ in range(400):
            sock = stack.enter_context(connected_small(server))
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\nx".encode())
        for _ in range(3):
            assert_others_are_served(server)
            assert server.request("GET", path)[1] == content


def push_large(server: Server, kind: str) -> tuple[str, bytes]:
    """Push a blob, or a manifest, that anybody may pull; answers its path, and its content."""
    if kind.endswith("blob"):
        content = os.urandom(32 * MIB if kind == "large blob" else 8 * MIB)
        path = f"/v2/public/blobs/{digest_of(content)}"
        pushed, _ = server.request("POST", f"/v2/public/blobs/uploads/?digest={digest_of(content)}", content)
    else:
        config = images.EMPTY_CONFIG
        pushed, _ = server.request("POST", f"/v2/public/blobs/uploads/?digest={digest_of(config)}", config)
        size = 4_000_000 if kind == "manifest" else MAX_CONTENT_SIZE - 1000
        content = images.manifest([], annotations={"padding": "x" * size})
        path = "/v2/public/manifests/large"
        pushed, _ = server.request("PUT", path, content, {"Content-Type": OCI_MANIFEST})
    assert pushed.status == 201
    return path, content


@pytest.mark.parametrize("short_timeouts", [True])
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

        assert read_response(upload)[0] == 201
        while taken < len(content):
            received = slow.recv(1 << 20)
            assert received, "the other download was cut off"
            taken += len(received)
        assert connections(server) == 2, "the one that took nothing is gone"


@pytest.mark.parametrize("short_timeouts", [True])
@pytest.mark.parametrize("kind", ["large blob", "manifest"])
def test_a_paused_download_of_an_authenticated_client_goes_on(server: Server, kind: str) -> None:
    """Several, for longer than anybody else's; that of another address without credentials is gone meanwhile."""
    path, content = push_large(server, kind)
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(connected_small(server, ATTACKER))
        deaf.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        paused = [stack.enter_context(opened(server, f"GET {path}", "")) for _ in range(3)]
        time.sleep(6)

        eventually(lambda: connections(server) == 3, "the one without credentials is gone")
        for sock in paused:
            answer = http.client.HTTPResponse(sock)
            answer.begin()
            assert (answer.status, answer.read()) == (200, content)
        # What has been taken makes room for no other client, once it was seen that it has.
        time.sleep(2)
        stack.enter_context(connected_small(server)).sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: connections(server) == 3, "one that takes nothing is left")


SHORT_STALL_SERVER = """
import sys
from lading import cli; from lading.http import streaming; from lading.server import connection_sweeper
connection_sweeper.SWEEP_INTERVAL = 0.5
connection_sweeper.STALL_TIMEOUT = streaming.STALL_TIMEOUT = 1.0
sys.exit(cli.main(["serve"]))
"""
"""`lading serve`, which waits less where threads are short."""


def test_downloads_that_one_user_does_not_take_leave_threads_to_others(tmp_path: Path) -> None:
    """More of them than threads: within seconds they are ended, and the user is limited; the others wait no minute."""
    variables, authorization = user_environment(tmp_path / "access")
    command = ["env", "LADING_ADDRESS=127.0.0.1:{port}", sys.executable, "-c", SHORT_STALL_SERVER]
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_THREADS": "16", **variables}
    with serving(environment, tmp_path / "log", command=command) as server, contextlib.ExitStack() as stack:
        server.authorization = authorization
        path, _ = push_large(server, "large blob")
        for _ in range(3):
            for _ in range(40):
                stack.enter_context(opened(server, f"GET {path}", ""))
            content = images.blob()
            pushed, _ = server.request("POST", f"{UPLOADS}?digest={digest_of(content)}", content)
            assert pushed.status == 201
        assert server.log.read_text().count("clients that read nothing") < 10
        assert "clients that read nothing" in server.log.read_text()
        assert server.request("GET", path)[0].status == 503, "one thread is all that the user has now"


def connected_small(server: Server, address: str = "127.0.0.1") -> socket.socket:
    """A connection whose client has little room for what it has not taken."""
    sock = socket.socket()
    sock.bind((address, 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    sock.settimeout(20)
    sock.connect(("127.0.0.1", server.port))
    return sock


def test_pipelined_requests_whose_responses_are_not_read(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 20, (ATTACKER, 0)))
            flood(sock, itertools.repeat(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100, 100), 16 * MIB)
        assert_others_are_served(server)


def flood(sock: socket.socket, pieces: Iterable[bytes], max_size: int, seconds: float = 2) -> None:
    """Send at most so many bytes, and read nothing, until the other side ends it or takes no more."""
    sock.settimeout(0.5)
    sent, until = 0, time.monotonic() + seconds
    with contextlib.suppress(OSError):
        for piece in pieces:
            if sent >= max_size or time.monotonic() > until:
                return
            sock.sendall(piece)
            sent += len(piece)
