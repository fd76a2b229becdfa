"""Hostile clients of the metrics' listener: they delay neither a scrape nor a client of the registry."""

import contextlib
import socket
import time
from pathlib import Path

import pytest

from lading.metrics import listener
from lading.metrics.store_readings import StoreReadings
from tests.metrics.metered_server import MeteredServer, serving_metrics
from tests.support import images


def connect(metered: MeteredServer, sent: bytes) -> socket.socket:
    """Connect, and send the beginning of a request."""
    connection = socket.create_connection(("127.0.0.1", metered.port), timeout=5)
    with contextlib.suppress(OSError):
        connection.sendall(sent)
    return connection


def test_slow_and_unread_connections_delay_nothing(metered: MeteredServer) -> None:
    beginnings = [b"", b"GET", b"GET /metrics HTTP/1.1\r\nX: y", b"GET /metrics HTTP/1.1\r\n\r\n"]
    layer = images.blob(1000)
    tasks = Path(f"/proc/{metered.server.process.pid}/task")
    before = len(list(tasks.iterdir()))
    with contextlib.ExitStack() as stack:
        for number in range(4 * listener.MAX_CONNECTIONS):
            stack.enter_context(connect(metered, beginnings[number % len(beginnings)]))
        metered.push("hostile/app", layer)
        metered.pull("hostile/app", layer)
        assert "registry_http_requests_total" in metered.exposition()
        assert len(list(tasks.iterdir())) <= before + listener.MAX_CONNECTIONS + 10, "each connection costs a thread"


def test_what_is_not_http_is_refused(metered: MeteredServer) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\r\n\r\n", b"GET " + b"x" * 100_000 + b"\r\n\r\n", b"\r\n\r\n", b"a b c d\r\n"):
        with connect(metered, sent) as connection, contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            connection.recv(100)
    assert "Traceback" not in metered.server.log.read_text()
    assert "registry_http_requests_total" in metered.exposition()


def test_a_server_ends_while_they_are_connected(tmp_path: Path) -> None:
    with serving_metrics(tmp_path) as metered, connect(metered, b"GET /metrics"):
        metered.get()
        assert metered.server.stop() == 0
        assert "Traceback" not in metered.server.log.read_text()


def test_a_store_that_is_down_delays_no_scrape() -> None:
    release = socket.socketpair()
    calls = []

    def read() -> None:
        calls.append(time.monotonic())
        release[0].recv(1)

    readings = StoreReadings(read, {}, 0.0)  # type: ignore[arg-type]
    assert list(readings.collect()) == []
    assert list(readings.collect()) == []
    assert len(calls) == 1, "one reading waits at a time"
    release[1].send(b"x")
    for each in release:
        each.close()


def test_a_store_that_fails_is_read_again(caplog: object) -> None:
    calls = []

    def read() -> None:
        calls.append(1)
        raise OSError("down")

    readings = StoreReadings(read, {}, 0.0)  # type: ignore[arg-type]
    assert list(readings.collect()) == list(readings.collect()) == []
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("", 200),
        ("127.0.0.1:9464", 200),
        ("LOCALHOST", 200),
        ("[::1]:9464", 200),
        ("host.docker.internal:9464", 200),
        ("page.example:9464", 403),
        ("127.0.0.1.page.example", 403),
        ("a,127.0.0.1", 403),
    ],
)
def test_no_web_page_reads_a_listener_of_loopback(metered: MeteredServer, host: str, status: int) -> None:
    sent = f"GET /metrics HTTP/1.1\r\n{f'Host: {host}' if host else 'X: y'}\r\n\r\n"
    with connect(metered, sent.encode()) as connection:
        assert connection.recv(100).startswith(f"HTTP/1.0 {status} ".encode())
