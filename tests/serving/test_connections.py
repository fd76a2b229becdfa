"""Connections over which nothing moves are dropped, and no others."""

import contextlib
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from lading import settings
from lading.http import tcp_info
from lading.http.streaming import ResponseStreams
from lading.http.tcp_info import StalledResponses, close_idle, close_unused
from lading.http.thread_budget import ThreadBudget
from lading.server import connection_sweeper

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of connections")


def test_still_connections_are_dropped_and_no_others() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port: int = listener.getsockname()[1]

        def connect() -> tuple[socket.socket, socket.socket]:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            return client, stack.enter_context(listener.accept()[0])

        (still, answers), (live, _), (waiting, answers_later) = connect(), connect(), connect()
        answers_later.sendall(b"a")
        assert waiting.recv(1) == b"a"
        time.sleep(0.1)
        waiting.sendall(b"q")
        still.sendall(b"q")
        time.sleep(0.1)
        answers.sendall(b"a")
        assert still.recv(1) == b"a"
        for _ in range(25):
            time.sleep(0.1)
            live.sendall(b"q")

        close_idle(port, "127.0.0.1", 2)
        close_idle(port + 1, "127.0.0.1", 0)
        close_idle(port, "127.0.0.2", 0)

        assert still.recv(1) == b"", "dropped"
        for kept in (live, waiting):
            kept.settimeout(0.2)
            with pytest.raises(TimeoutError):
                kept.recv(1)


def test_a_download_that_pauses_is_not_dropped_for_another_client_of_its_address() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname(), timeout=5))
        server = stack.enter_context(listener.accept()[0])
        client.sendall(b"q")
        assert server.recv(1) == b"q"
        time.sleep(0.1)
        server.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                server.send(bytes(1 << 16))
        time.sleep(0.5)

        close_idle(listener.getsockname()[1], "127.0.0.1", 0.3)

        assert not is_shut(server)


@pytest.mark.parametrize(
    "look",
    [
        lambda port: tcp_info.close_idle(port, "127.0.0.1", 0),
        lambda port: tcp_info.StalledResponses(port).close_stalled(0),
        lambda port: tcp_info.seconds_since_data(port, "127.0.0.1"),
        lambda port: tcp_info.close_unused(port, 0, 0),
    ],
    ids=["drop_still", "UntakenAnswers", "quiet", "drop_idle"],
)
def test_a_client_may_reset_its_connection_while_it_is_looked_at(
    look: Callable[[int], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel then no longer says whose it was. One such client stopped the whole server."""
    look_at = tcp_info._inspect

    def look_and_reset(connection: socket.socket, *more: Any) -> tcp_info.ConnectionInfo:
        seen = look_at(connection, *more)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        with pytest.raises(OSError, match="not connected"):
            connection.getpeername()
        return seen

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client, listener.accept()[0]:
            monkeypatch.setattr(tcp_info, "_inspect", look_and_reset)

            look(port)

            assert client.fileno() == -1, "it was looked at"


def test_looking_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        close_idle(1, "127.0.0.1", 0)
    assert len(os.listdir("/dev/fd")) == before


def test_connections_without_a_first_word_are_dropped_and_those_that_were_answered_long_ago() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port: int = listener.getsockname()[1]

        def connect(said: bytes) -> tuple[socket.socket, socket.socket]:
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
            client.sendall(said)
            return client, stack.enter_context(listener.accept()[0])

        request = b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
        (silent, _), (stammering, _), (waiting, _), (answered, answers) = map(connect, (b"", b"P", request, request))
        time.sleep(0.1)
        answers.sendall(b"a")
        assert answered.recv(1) == b"a"
        time.sleep(0.5)

        assert close_unused(port, first_request_timeout=60, keepalive_timeout=60) == 4
        assert close_unused(port, first_request_timeout=0.3, keepalive_timeout=60) == 2

        assert (silent.recv(1), stammering.recv(1)) == (b"", b"")
        assert is_open(answered)
        assert close_unused(port, first_request_timeout=0.3, keepalive_timeout=0.3) == 1
        assert answered.recv(1) == b""
        assert is_open(waiting)


def test_an_answer_that_comes_at_once_is_one() -> None:
    """The kernel tells both times by a clock of some milliseconds: they are the same then."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        client = stack.enter_context(socket.create_connection(listener.getsockname(), timeout=5))
        server = stack.enter_context(listener.accept()[0])
        client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.recv(100)
        server.sendall(b"a")
        assert client.recv(1) == b"a"
        time.sleep(0.5)

        close_unused(listener.getsockname()[1], first_request_timeout=60, keepalive_timeout=0.3)

        assert client.recv(1) == b""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_connections_over_ipv6_are_known_by_their_address() -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
        client = stack.enter_context(socket.create_connection(listener.getsockname()[:2], timeout=5))
        server = stack.enter_context(listener.accept()[0])
        client.sendall(b"q")
        time.sleep(0.1)
        server.sendall(b"a")
        assert client.recv(1) == b"a"
        time.sleep(0.1)

        close_idle(listener.getsockname()[1], "::2", 0)
        assert is_open(client)
        close_idle(listener.getsockname()[1], "::1", 0)
        assert client.recv(1) == b""


class Clock:
    """A clock that goes only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_who_takes_nothing_is_dropped_and_no_other_connection_of_that_address() -> None:
    """Not one that takes a little now and then, nor one that waits, uploads, or has taken all."""
    clock, much = Clock(), bytes(1 << 20)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        (deaf, to_deaf), (slow, to_slow), (idle, _), (uploads, reads), (took, to_taker) = (
            connect_to(listener, stack) for _ in range(5)
        )
        for server in (to_deaf, to_slow):
            with contextlib.suppress(BlockingIOError):
                while True:
                    server.send(much)
        to_taker.send(b"all")
        assert took.recv(3) == b"all"
        answers = StalledResponses(listener.getsockname()[1], clock)

        for clock.now in range(0, 60, 10):
            # The one that takes nothing keeps its connection moving all the same.
            deaf.sendall(b"x")
            uploads.sendall(b"x")
            assert reads.recv(1) == b"x"
            for _ in range(20):
                assert slow.recv(8192)
            time.sleep(0.05)
            answers.close_stalled(60)
        for server in (to_deaf, to_slow):
            assert not is_shut(server)
        assert not answers.count(60)
        clock.now = 60
        answers.close_stalled(60)
        assert answers.count(60) == {"127.0.0.1": 1}, "the slow one does not count"

        assert is_shut(to_deaf)
        assert not is_shut(to_slow)
        assert all(map(is_open, (idle, uploads, took)))


def connect_to(listener: socket.socket, stack: contextlib.ExitStack) -> tuple[socket.socket, socket.socket]:
    """Return both ends of a new connection, whose client has little room for what it has not taken."""
    client = stack.enter_context(socket.socket())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(5)
    client.connect(listener.getsockname())
    server = stack.enter_context(listener.accept()[0])
    server.setblocking(False)
    return client, server


def is_shut(server: socket.socket) -> bool:
    """Whether nothing can be sent any more."""
    try:
        server.send(b"a")
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def is_open(connection: socket.socket) -> bool:
    connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(5)
    return True


class Ended(BaseException):
    """Raised in place of the end of the process."""


def test_connections_are_swept_on_after_a_sweep_that_failed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sweeps: list[int] = []

    def drop_idle(port: int, unspoken: float, answered: float) -> int:
        sweeps.append(port)
        if len(sweeps) > 1:
            raise Ended
        raise OSError("/dev/fd cannot be listed")

    monkeypatch.setattr(connection_sweeper, "SWEEP_INTERVAL", 0)
    monkeypatch.setattr(connection_sweeper, "close_unused", drop_idle)
    read = settings.load_settings({})
    with pytest.raises(Ended):
        connection_sweeper.sweep_connections(read.port, ResponseStreams(1, ThreadBudget(1)), lambda: False)

    assert sweeps == [read.port] * 2
    assert "could not be closed" in caplog.text
