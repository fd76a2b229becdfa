"""Bodies of any size, and of any slowness, at a registry that serves."""

import contextlib
import http.client
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lading.http.thread_budget import ThreadBudget
from lading_storage.digests import digest_of
from tests.support.large_bodies import digest_of_zeros, zeros
from tests.support.server_process import Server, read_response, serving, user_environment

MIB = 1024 * 1024
LIMIT = 100 * MIB
THREADS = 8
OPEN_UPLOAD = "/v2/a/blobs/uploads/"


def size_for(environment: Mapping[str, str], way: str) -> int:
    """2 GiB in a folder, as docker sends it; less for fake-gcs-server, which holds it in memory several times."""
    if "LADING_DATA" not in environment:
        return 256 * MIB
    return 2048 * MIB if way == "PATCH" else 512 * MIB


def begin(server: Server) -> str:
    """Begin an upload; answers its path."""
    response, _ = server.request("POST", OPEN_UPLOAD)
    assert response.status == 202
    return response.headers["Location"]


@pytest.mark.parametrize("way", ["PATCH", "PUT", "POST"])
def test_no_body_is_ever_in_memory(environment: Mapping[str, str], tmp_path: Path, way: str) -> None:
    size = size_for(environment, way)
    digest = digest_of_zeros(size)
    with serving(environment, tmp_path / "log", new=True) as server:
        path = OPEN_UPLOAD if way == "POST" else begin(server)
        query = "" if way == "PATCH" else f"?digest={digest}"
        # docker's PATCH comes without Content-Length; the others say how long they are.
        headers = {} if way == "PATCH" else {"Content-Length": str(size)}
        response, answer = server.request(way, path + query, zeros(size), headers)
        if way == "PATCH":
            assert response.status == 202, answer
            assert response.headers["Range"] == f"0-{size - 1}"
            response, answer = server.request("PUT", f"{path}?digest={digest}")
        assert response.status == 201, answer

        pulled = pull_size(server, f"/v2/a/blobs/{digest}")

        assert pulled == size
        assert server.peak_memory() < LIMIT
    shutil.rmtree(tmp_path / "data", ignore_errors=True)


def pull_size(server: Server, path: str) -> int:
    """Read a body, and forget it; return how long it was."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return sum(len(piece) for piece in iter(lambda: response.read(MIB), b""))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Server]:
    """A registry on a folder, with short timeouts and few threads."""
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_BODY_TIMEOUT": "1", "LADING_THREADS": str(THREADS)}
    with serving(environment, tmp_path / "log", new=True) as server:
        yield server


def test_a_body_that_stalls_is_timed_out_and_frees_its_thread(local: Server) -> None:
    path = begin(local)
    stalled = [
        open_request(local, f"PATCH {path}", "Content-Length: 1000", b"some")
        for _ in range(ThreadBudget(THREADS).total)
    ]

    answers = [read_response(sock) for sock in stalled]

    assert [status for status, _ in answers] == [408] * len(stalled), answers
    assert local.request("GET", "/v2/")[0].status == 200
    # The session is as it was, and goes on, when the connections of those that stalled have been dropped.
    status = 503
    while status == 503:
        status = local.request("PUT", f"{path}?digest={digest_of(b'all')}", b"all")[0].status
    assert status == 201
    for sock in stalled:
        sock.close()


def open_request(server: Server, line: str, header: str, body: bytes) -> socket.socket:
    """Send the beginning of a request, and leave it at that."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    sock.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n".encode() + body)
    return sock


@pytest.mark.parametrize("header", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_connection_that_is_cut_changes_nothing_that_counts(local: Server, header: str) -> None:
    path = begin(local)
    content = b"400\r\n" + bytes(1024) if "chunked" in header else bytes(400)
    open_request(local, f"PUT {path}?digest={digest_of(bytes(1000))}", header, content).close()

    def gone() -> bool:
        response, _ = local.request("HEAD", f"/v2/a/blobs/{digest_of(bytes(1000))}")
        return response.status == 404

    assert gone()
    response, _ = local.request("POST", f"{OPEN_UPLOAD}?digest={digest_of(b'x')}", b"x")
    assert response.status == 201


REFUSED = [
    ("PATCH", "/v2/a/blobs/uploads/absent", 404),
    ("PUT", "/v2/a/manifests/v1", 413),
    ("POST", "/v2/A/blobs/uploads/", 400),
]


@pytest.mark.parametrize(("method", "path", "status"), REFUSED)
@pytest.mark.parametrize("sized", [True, False])
def test_a_refusal_of_a_large_body_arrives_and_reads_little(
    local: Server, method: str, path: str, status: int, sized: bool
) -> None:
    before = local.peak_memory()
    length = "Content-Length: 209715200" if sized else "Transfer-Encoding: chunked"
    with open_request(local, f"{method} {path}", length, b"") as sock:
        sender = threading.Thread(target=send_until_refused, args=(sock, sized))
        sender.start()

        answered, answer = read_response(sock)

    sender.join()
    assert answered == status
    assert b'"errors"' in answer
    assert local.peak_memory() - before < 32 * MIB


def test_with_a_proxy_a_refusal_is_sent_after_the_body(tmp_path: Path) -> None:
    """A proxy that still sends when the answer and the end of the connection come may answer 502 in our place."""
    variables, authorization = user_environment(tmp_path / "access")
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_TRUSTED_HOPS": "1", **variables}
    with serving(environment, tmp_path / "log", new=True) as server:
        server.authorization = authorization
        before, size = server.peak_memory(), 40 * MIB

        response, _ = server.request("PATCH", "/v2/a/blobs/uploads/absent", zeros(size), {"Content-Length": str(size)})

        assert response.status == 404
        assert "close" not in response.headers.get("Connection", "")
        assert server.peak_memory() - before < 32 * MIB


def send_until_refused(sock: socket.socket, sized: bool) -> None:
    piece = bytes(MIB) if sized else f"{MIB:x}\r\n".encode() + bytes(MIB) + b"\r\n"
    with contextlib.suppress(OSError):
        for _ in range(200):
            sock.sendall(piece)


@pytest.mark.parametrize("headers", [{}, {"Content-Length": str(2 * MIB)}], ids=["chunked", "with a length"])
def test_where_large_bodies_end_the_answer_says_why(tmp_path: Path, headers: Mapping[str, str]) -> None:
    variables = {"LADING_DATA": str(tmp_path / "data"), "LADING_LARGEST_BODY": "1"}
    with serving(variables, tmp_path / "log") as server:
        path = begin(server)
        response, answer = server.request("PATCH", path, zeros(2 * MIB), headers)
        assert response.status == 413
        assert b"SIZE_INVALID" in answer
        assert b"http2 = true" in answer
        # What was refused changes nothing, and smaller pieces fit.
        for at in range(2):
            span = {"Content-Range": f"{at * MIB}-{(at + 1) * MIB - 1}", "Content-Length": str(MIB)}
            assert server.request("PATCH", path, zeros(MIB), span)[0].status == 202
        assert server.request("PUT", f"{path}?digest={digest_of_zeros(2 * MIB)}")[0].status == 201


def test_slow_readers_do_not_hold_up_others(local: Server) -> None:
    """More downloads that stand still than there are threads: short requests are still answered in the end."""
    size = 64 * MIB
    digest = digest_of_zeros(size)
    response, _ = local.request("POST", f"{OPEN_UPLOAD}?digest={digest}", zeros(size), {"Content-Length": str(size)})
    assert response.status == 201
    readers = [open_request(local, f"GET /v2/a/blobs/{digest}", "Accept: */*", b"") for _ in range(THREADS - 1)]
    time.sleep(0.2)

    assert local.request("GET", "/v2/")[0].status == 200

    for reader in readers:
        reader.close()
    assert pull_size(local, f"/v2/a/blobs/{digest}") == size
