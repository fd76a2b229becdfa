"""Bodies without a length: Envoy holds those of manifests and tokens until they are whole, and streams the others."""

import contextlib
import json
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.registry.content.manifests import MAX_MANIFEST
from lading.server import envoy_config, envoy_overload
from tests.support.envoy_proxy import OK, TIMEOUT, EnvoyProxy, Exchange, run_envoy
from tests.support.http2_client import Client, connected


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[EnvoyProxy]:
    with run_envoy(tmp_path) as started:
        yield started


def error_of(content: bytes) -> str:
    """The code of an error as the specification has them."""
    (error,) = json.loads(content)["errors"]
    assert error["message"]
    return str(error["code"])


MANIFEST = "/v2/a/manifests/prod"

BUFFERED = [("PUT", MANIFEST), ("POST", "/v2/token"), ("PUT", "/v2/a/blobs/uploads/x%2Fmanifests%2Fprod")]

STREAMED = [("PATCH", "/v2/a/b/blobs/uploads/x-_.y?digest=z"), ("POST", "/v2/a/blobs/uploads/?digest=sha256:x")]


def keep_whole(received: list[bytes]) -> Exchange:
    """Return an exchange that keeps the body by its Content-Length, and answers."""

    def read(connection: socket.socket, head: bytes) -> None:
        (size,) = re.findall(rb"content-length: (\d+)", head)
        while sum(map(len, received)) < int(size):
            received.append(connection.recv(65536))
        connection.sendall(OK)

    return read


@pytest.mark.parametrize(("method", "path"), BUFFERED)
def test_a_whole_body_without_a_length_arrives_with_one(envoy: EnvoyProxy, method: str, path: str) -> None:
    body, received = os.urandom(2_000_000), list[bytes]()
    envoy.upstream.exchange = keep_whole(received)
    with connected(envoy.port) as client:
        stream = client.send(method, path, body=None)
        client.send_body(stream, body[:1000])
        time.sleep(0.1)
        assert envoy.upstream.heads == []
        client.send_body(stream, body[1000:], end=True)
        assert client.reply(stream).status == 200
    assert b"".join(received) == body

    received.clear()
    chunks = b"1e8480\r\n" + body + b"\r\n0\r\n\r\n"
    assert envoy.request(method, path, {"Transfer-Encoding": "chunked"}, chunks)[0].status == 200
    assert b"".join(received) == body
    assert not any(CHUNKED.search(head) for head in envoy.upstream.heads)


@pytest.mark.parametrize("end", ["the stream is reset", "the connection is closed"])
@pytest.mark.parametrize(("method", "path"), BUFFERED)
def test_a_cut_body_without_a_length_does_not_arrive(envoy: EnvoyProxy, method: str, path: str, end: str) -> None:
    with connected(envoy.port) as client:
        stream = client.send(method, path, body=None)
        client.send_body(stream, b"{}")
        if end == "the stream is reset":
            client.reset(stream)
            assert client.reply(client.send("GET", "/v2/")).status == 200
    envoy.request("GET", "/v2/")
    assert {line.split()[0] for line in envoy.upstream.heads} == {b"GET"}


@pytest.mark.parametrize("length", [[], [("content-length", "1000")]], ids=["uploads", "with a length"])
def test_uploads_and_bodies_with_a_length_are_not_held_back(envoy: EnvoyProxy, length: list[tuple[str, str]]) -> None:
    arrived = threading.Event()

    def answer_at_once(connection: socket.socket, _head: bytes) -> None:
        arrived.set()
        connection.sendall(OK)

    envoy.upstream.exchange = answer_at_once
    with connected(envoy.port) as client:
        for method, path in STREAMED + (BUFFERED if length else []):
            arrived.clear()
            client.send(method, path, length, body=None)
            assert arrived.wait(TIMEOUT), path


def test_a_body_without_a_length_that_is_too_large_is_refused_in_the_registrys_words(envoy: EnvoyProxy) -> None:
    assert envoy_config.MAX_BUFFERED > MAX_MANIFEST
    size = envoy_config.MAX_BUFFERED + 1
    with connected(envoy.port) as client:
        stream = client.send("PUT", MANIFEST, body=None)
        client.send_body(stream, bytes(size))
        reply = client.reply(stream)
        assert (reply.status, error_of(reply.content)) == (413, "SIZE_INVALID")
        assert client.reply(client.send("GET", "/v2/")).status == 200
    assert len(envoy.upstream.heads) == 1, "that of the other request"


def test_a_held_body_that_stands_still_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_config, "BUFFERED_IDLE_TIMEOUT", "0.2s")
    with run_envoy(tmp_path) as envoy, connected(envoy.port) as client:
        stream = client.send("PUT", MANIFEST, body=None)
        client.send_body(stream, b"{")
        reply = client.reply(stream)
        assert (reply.status, error_of(reply.content)) == (408, "UNSUPPORTED")
    assert envoy.upstream.heads == []


def test_held_bodies_do_not_take_the_memory_of_others(envoy: EnvoyProxy) -> None:
    """Without an end, as anybody may send them: together more than the heap has."""
    count = 2 * envoy_overload.MAX_HEAP // envoy_config.MAX_BUFFERED
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(connected(envoy.port)) for _ in range(4)]
        for number in range(count):
            client = clients[number % len(clients)]
            with contextlib.suppress(ConnectionError):
                client.send_body(client.send("PUT", MANIFEST, body=None), bytes(envoy_config.MAX_BUFFERED))
        deadline = time.monotonic() + TIMEOUT
        while envoy.request("GET", "/v2/")[0].status != 200:
            assert time.monotonic() < deadline
        assert any(reply.reset is not None for client in clients for reply in client.replies.values())
        for client in clients:
            assert client.reply(client.send("GET", "/v2/")).status == 200


CHUNKED = re.compile(rb"transfer-encoding: chunked", re.IGNORECASE)


@pytest.mark.parametrize("length", [None, "1000"])
def test_a_reset_body_is_a_closed_connection_to_the_server(envoy: EnvoyProxy, length: str | None) -> None:
    """The server sees the end of the connection before the last chunk, or before Content-Length: never a whole body."""
    received: list[bytes] = []
    ended = threading.Event()

    def read_all(connection: socket.socket, _head: bytes) -> None:
        with contextlib.suppress(ConnectionResetError):
            received.extend(iter(lambda: connection.recv(65536), b""))
        ended.set()

    envoy.upstream.exchange = read_all
    with connected(envoy.port) as client:
        headers = [("content-length", length)] if length else []
        stream = client.send("PATCH", "/v2/a/blobs/uploads/x", headers, body=None)
        client.send_body(stream, b"part")
        deadline = time.monotonic() + TIMEOUT
        while not received:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        client.reset(stream)
        assert ended.wait(TIMEOUT)
    assert bool(CHUNKED.search(envoy.upstream.heads[0])) is (length is None)
    assert b"".join(received) == (b"part" if length else b"4\r\npart\r\n")


def test_a_flood_of_requests_that_are_taken_back_is_cut_off(envoy: EnvoyProxy) -> None:
    """CVE-2023-44487: by Envoy's own limit of 500 streams of a connection that live less than a second."""
    flood = 10_000

    def take_back(client: Client) -> None:
        for _ in range(flood):
            client.reset(client.send("GET", "/v2/"))
        while True:
            client.receive()

    with connected(envoy.port) as client, pytest.raises(ConnectionError):
        take_back(client)
    assert len(envoy.upstream.heads) < flood // 5
    assert envoy.request("GET", "/v2/")[0].status == 200
