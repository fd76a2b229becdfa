"""Connections over which nothing moves are dropped, and no others."""

import contextlib
import os
import socket
import sys
import time

import pytest

from functions.api.connections import drop_still

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

        drop_still(port, "127.0.0.1", 2)
        drop_still(port + 1, "127.0.0.1", 0)
        drop_still(port, "127.0.0.2", 0)

        assert still.recv(1) == b"", "dropped"
        for kept in (live, waiting):
            kept.settimeout(0.2)
            with pytest.raises(TimeoutError):
                kept.recv(1)


def test_looking_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        drop_still(1, "127.0.0.1", 0)
    assert len(os.listdir("/dev/fd")) == before
