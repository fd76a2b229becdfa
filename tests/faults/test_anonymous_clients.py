"""What an anonymous client can do to a private registry: others are still served, and memory stays small."""

import contextlib
import gzip
import resource
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from itertools import count, cycle
from pathlib import Path

import pytest

from lading.server.connection_sweeper import MAX_CONNECTIONS
from lading.server.serve import READ_BUFFER_SIZE
from lading_storage.digests import digest_of
from tests.faults.exact_client import ExactClient
from tests.support import images
from tests.support.server_process import Server, serving, user_environment

MIB = 1024 * 1024
LIMIT = 256 * MIB
THREADS = 16
ANY_UPLOAD = "/v2/a/blobs/uploads/0123456789abcdef0123456789abcdef"


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Server]:
    """A registry with one user, few threads, and, to begin with, as few descriptors as a system gives."""
    variables, authorization = user_environment(tmp_path / "access")
    few = f"ulimit -Sn 1024; exec {sys.executable} -m lading.cli serve --address 127.0.0.1:{{port}}"
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_THREADS": str(THREADS), **variables}
    with serving(environment, tmp_path / "log", command=["bash", "-c", few]) as server:
        server.authorization = authorization
        yield server
        assert server.peak_memory() < LIMIT


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20)


def assert_others_are_served(server: Server) -> None:
    content = images.blob()
    pushed, _ = server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content)
    pulled, body = server.request("GET", f"/v2/a/blobs/{digest_of(content)}")
    assert (pushed.status, pulled.status, body) == (201, 200, content)


@contextlib.contextmanager
def trickling(sockets: list[socket.socket]) -> Iterator[None]:
    """A byte now and then over each connection, so that none is ever still."""
    stop = threading.Event()

    def trickle() -> None:
        for sock in cycle(sockets):
            if stop.wait(0.5 / len(sockets)):
                return
            with contextlib.suppress(OSError):
                sock.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize(
    "line", [f"PATCH {ANY_UPLOAD}", "PUT /v2/a/manifests/v1", "POST /anything", "PUT /v2/A/b", "POST /v2/token"]
)
def test_slow_bodies(private: Server, line: str) -> None:
    # Of a form no more is read than it may have.
    size = 1000 if line.endswith("token") else 1_000_000
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(connect(private)) for _ in range(4 * THREADS)]
        for sock in sockets:
            sock.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n".encode())
        with trickling(sockets):
            for _ in range(3):
                assert_others_are_served(private)


def test_forms_that_never_come(private: Server) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(4 * THREADS):
            sock = stack.enter_context(connect(private))
            sock.sendall(b"POST /v2/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\ng")
        assert_others_are_served(private)
        answer, _ = private.request("GET", "/v2/token")
        assert answer.status == 200


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize(
    ("connections", "begun"),
    [
        pytest.param(MAX_CONNECTIONS - 10, 1, id="nearly all places taken by headers that never end"),
        pytest.param(MAX_CONNECTIONS + 500, 3, id="more than there are places"),
    ],
)
def test_idle_connections(private: Server, connections: int, begun: int) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(connections):
            sock = stack.enter_context(connect(private))
            if number % begun == 0:
                sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\nX-Begun: " + bytes(READ_BUFFER_SIZE - 1000))
        assert_others_are_served(private)


SHORT_TIMEOUT_SERVER = """
import sys
from lading import cli; from lading.server import connection_sweeper
connection_sweeper.IDLE_TIMEOUT_UNDER_PRESSURE = 5.0
sys.exit(cli.main(["serve"]))
"""


@pytest.mark.usefixtures("many_descriptors")
def test_connections_that_were_answered_and_stay(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ADDRESS": "127.0.0.1:{port}"}
    command = [
        "env",
        *(f"{name}={value}" for name, value in environment.items()),
        sys.executable,
        "-c",
        SHORT_TIMEOUT_SERVER,
    ]
    with serving({}, tmp_path / "log", command=command) as server, contextlib.ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS + 100):
            sock = stack.enter_context(connect(server))
            sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert_others_are_served(server)


def send_until_cut(sock: socket.socket, pieces: Iterable[bytes]) -> None:
    """Send 64 MiB at the most; the other side must have had enough before."""
    sent = 0
    with contextlib.suppress(OSError):
        for piece in pieces:
            assert sent < 64 * MIB
            sock.sendall(piece)
            sent += len(piece)


def test_headers_without_end(private: Server) -> None:
    with connect(private) as sock:
        sock.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n")
        send_until_cut(sock, (f"X-{number}: {'x' * 1000}\r\n".encode() for number in count()))
    assert_others_are_served(private)


def test_open_sessions(private: Server) -> None:
    headers = {"Authorization": private.authorization}
    with contextlib.closing(ExactClient(private.port)) as client:
        for _ in range(10_000):
            assert client.request("POST", "/v2/a/blobs/uploads/", b"", headers).status == 202
    assert_others_are_served(private)


@pytest.mark.parametrize("n", ["9" * 19, "9" * 3000, "18446744073709551616"])
def test_a_huge_page(private: Server, n: str) -> None:
    assert_others_are_served(private)
    for path in ("/v2/a/tags/list", "/v2/_catalog", "/v2/_lading/a/history"):
        response, _ = private.request("GET", f"{path}?n={n}")
        assert response.status in (200, 404), response.status


def test_nothing_is_ever_decompressed(private: Server) -> None:
    bomb, encoded = gzip.compress(bytes(64 * MIB)), {"Content-Encoding": "gzip", "Accept-Encoding": "gzip"}
    manifest = gzip.compress(images.manifest([]))
    path = f"/v2/a/blobs/{digest_of(bomb)}"

    pushed, _ = private.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(bomb)}", bomb, encoded)
    pulled, body = private.request("GET", path, headers=encoded)
    refused, _ = private.request("PUT", "/v2/a/manifests/v1", manifest, encoded)

    assert (pushed.status, pulled.status, refused.status) == (201, 200, 400)
    assert body == bomb
    assert "Content-Encoding" not in pulled.headers
