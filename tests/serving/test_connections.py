"""Connections over which nothing moves are dropped, and no others."""

import os
import socket
import sys
import time

import pytest

from functions.api.connections import drop_still

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of connections")


def test_still_connections_are_dropped_and_live_ones_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        with (
            socket.create_connection(("127.0.0.1", port)) as still,
            socket.create_connection(("127.0.0.1", port)) as live,
        ):
            first, second = listener.accept()[0], listener.accept()[0]
            with first, second:
                still.sendall(b"x")
                live.sendall(b"x")
                for _ in range(25):
                    time.sleep(0.1)
                    live.sendall(b"x")

                drop_still(port, "127.0.0.1", 2)
                drop_still(port + 1, "127.0.0.1", 0)
                drop_still(port, "127.0.0.2", 0)

                still.settimeout(5)
                assert still.recv(1) == b"", "dropped"
                live.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    live.recv(1)


def test_looking_leaves_no_descriptor_open() -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        drop_still(1, "127.0.0.1", 0)
    assert len(os.listdir("/dev/fd")) == before
