"""Uploads that come slowly: they delay no other client, and one that moves goes on."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from lading.http.thread_budget import ThreadBudget
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.server_process import Server, basic, read_response, serving

THREADS = 32
SLOTS = ThreadBudget(THREADS).total
CONTENT = bytes(range(256)) * 8192
"""2 MiB: several times what is read at once."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A registry with two users who may push, for whom bodies may stand still for a second."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "users").write_text(f"alice:{hashed}\nbob:{hashed}\n")
    (tmp_path / "grants").write_text("* * pull,push\n")
    environment = {
        "LADING_DATA": str(tmp_path / "data"),
        "LADING_THREADS": str(THREADS),
        "LADING_BODY_TIMEOUT": "1",
        "LADING_ACCESS": "users",
        "LADING_USERS": str(tmp_path / "users"),
        "LADING_GRANTS": str(tmp_path / "grants"),
    }
    with serving(environment, tmp_path / "log") as server:
        for user in ("alice", "bob"):
            # Passwords are looked at a few at a time, and then known for a minute.
            server.authorization = basic(user, "secret")
            assert server.request("POST", "/v2/a/blobs/uploads/")[0].status == 202
        yield server


def begun(server: Server, user: str, sized: bool = True) -> socket.socket:
    """An upload of CONTENT whose first byte has been sent."""
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    length = f"Content-Length: {len(CONTENT)}" if sized else "Transfer-Encoding: chunked"
    line = f"POST /v2/a/blobs/uploads/?digest={digest_of(CONTENT)} HTTP/1.1"
    sock.sendall(f"{line}\r\nHost: localhost\r\nAuthorization: {basic(user, 'secret')}\r\n{length}\r\n\r\n".encode())
    send(sock, CONTENT[:1], sized)
    return sock


def send(sock: socket.socket, part: bytes, sized: bool = True) -> None:
    sock.sendall(part if sized else f"{len(part):x}\r\n".encode() + part + b"\r\n")


def assert_served(server: Server) -> None:
    """Who has a share left can push, and everybody can pull."""
    content = images.blob()
    assert server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content)[0].status == 201
    response, body = server.request("GET", f"/v2/a/blobs/{digest_of(content)}")
    assert (response.status, body) == (200, content)


@contextlib.contextmanager
def trickling() -> Iterator[list[socket.socket]]:
    """A byte each quarter of a second over each connection that is added."""
    stop, sockets = threading.Event(), list[socket.socket]()

    def trickle() -> None:
        while not stop.wait(0.25):
            for sock in list(sockets):
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield sockets
    finally:
        stop.set()
        thread.join()


def test_more_slow_uploads_of_one_user_than_there_are_threads(server: Server) -> None:
    with contextlib.ExitStack() as stack, trickling() as sockets:
        for _ in range(4 * THREADS):
            sockets.append(stack.enter_context(begun(server, "alice")))
        answered = with_an_answer(sockets, len(sockets) - SLOTS // 2)
        assert len(answered) == len(sockets) - SLOTS // 2
        refused = [read_response(sock) for sock in answered]
        assert {status for status, _ in refused} == {503}
        for _ in range(3):
            assert_served(server)
        with contextlib.closing(begun(server, "alice")) as another:
            assert read_response(another)[0] == 503
    eventually_pushed(server, "alice")


def test_slow_uploads_of_all_users_stop_no_pull(server: Server) -> None:
    content = images.blob()
    server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content)
    with contextlib.ExitStack() as stack, trickling() as sockets:
        for number in range(4 * THREADS):
            sockets.append(stack.enter_context(begun(server, "alice" if number % 2 else "bob")))
        # The users have a third of the slots each where they come in turn, and at most a half and a quarter.
        refused = with_an_answer(sockets, len(sockets) - SLOTS // 2 - SLOTS // 4)
        assert {read_response(sock)[0] for sock in refused} == {503}
        for _ in range(10):
            assert server.request("GET", f"/v2/a/blobs/{digest_of(content)}")[1] == content
            assert server.request("POST", "/v2/a/blobs/uploads/")[0].status == 202


def with_an_answer(sockets: list[socket.socket], count: int) -> list[socket.socket]:
    """Return the connections that have a response, once there are at least `count`."""
    deadline, answered = time.monotonic() + 30, list[socket.socket]()
    while len(answered) < count:
        assert time.monotonic() < deadline, f"{len(answered)} of {count} were refused"
        time.sleep(0.1)
        answered = [sock for sock in sockets if has_an_answer(sock)]
    return answered


def has_an_answer(sock: socket.socket) -> bool:
    readable_patterns, _, _ = select.select([sock], [], [], 0)
    return bool(readable_patterns)


def eventually_pushed(server: Server, user: str) -> None:
    """The slots of clients that have gone are free again."""
    deadline, server.authorization = time.monotonic() + 30, basic(user, "secret")
    content = images.blob()
    while server.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content)[0].status != 201:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("sized", [True, False], ids=["with a length", "chunked"])
@pytest.mark.parametrize("fast", [1, 1024 * 1024], ids=["from the start", "after a fast beginning"])
def test_an_upload_that_moves_is_never_ended_for_being_slow(server: Server, fast: int, sized: bool) -> None:
    """For several times as long as it may stand still, a few bytes at a time."""
    with contextlib.closing(begun(server, "alice", sized)) as sock:
        send(sock, CONTENT[1:fast], sized) if fast > 1 else None
        for at in range(fast, fast + 12):
            time.sleep(0.4)
            send(sock, CONTENT[at : at + 1], sized)
        send(sock, CONTENT[fast + 12 :], sized)
        sock.sendall(b"" if sized else b"0\r\n\r\n")

        status, answer = read_response(sock)

    assert status == 201, answer


@pytest.mark.parametrize("fast", [1, 1024 * 1024], ids=["from the start", "after a fast beginning"])
def test_an_upload_that_stands_still_is_ended_while_others_go_on(server: Server, fast: int) -> None:
    with contextlib.closing(begun(server, "alice")) as sock:
        send(sock, CONTENT[1:fast])

        assert read_response(sock)[0] == 408

    assert_served(server)
