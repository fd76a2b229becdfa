"""Requests to other services: at checked addresses alone, without redirects, and never longer than their limit."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import pytest

from lading.addresses import Address, Addresses, AddressRefused, Network, parse_url
from lading.outbound import MAX_RESPONSE, Outbound, OutboundError, Reply
from tests.support.certificates import self_signed
from tests.support.webhook_receiver import Receiver, raw_endpoint, receiver

LOOPBACK: Final[list[Network]] = [ip_network("127.0.0.0/8")]
SHORT: Final = 0.4
"""Seconds of a limit that a test waits for."""

LATE: Final = r"^it did not respond in time$"


def outbound(resolve: Callable[[str, int], list[Address]] | None = None, limit: float = 10.0) -> Outbound:
    return Outbound(Addresses(LOOPBACK, resolve), time_limit=limit)


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened


def port_of(endpoint: Receiver) -> int:
    return parse_url(endpoint.url).port


def test_a_request_arrives_as_it_was_sent(endpoint: Receiver) -> None:
    reply = outbound().post(f"{endpoint.url}?token=1", b'{"a":1}', {"Content-Type": "application/json"})

    assert (reply.status, reply.body, reply.complete) == (204, b"", True)
    (request,) = endpoint.received
    assert (request.path, request.body) == ("/hook?token=1", b'{"a":1}')
    assert request.headers["host"] == f"127.0.0.1:{port_of(endpoint)}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("lading/")


def test_a_name_that_resolves_differently_the_second_time_is_no_way_in(endpoint: Receiver) -> None:
    """DNS rebinding: the check and the connection use one resolution."""
    resolved: list[str] = []

    def rebind(host: str, port: int) -> list[Address]:
        resolved.append(host)
        return [ip_address("127.0.0.1" if len(resolved) == 1 else "169.254.169.254")]

    url = f"http://hook.example:{port_of(endpoint)}/hook"
    assert outbound(rebind).post(url, b"{}", {}).status == 204
    assert resolved == ["hook.example"]
    assert endpoint.received[0].headers["host"] == f"hook.example:{port_of(endpoint)}"
    with pytest.raises(AddressRefused):
        outbound(rebind).post(url, b"{}", {})
    assert len(endpoint.received) == 1


def test_the_connection_is_made_to_the_address_and_never_to_the_name(
    endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[object] = []
    getaddrinfo = socket.getaddrinfo

    def record(host: str, *rest: Any, **more: Any) -> Any:
        looked_up.append(host)
        return getaddrinfo(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", record)
    outbound(lambda *_: [ip_address("127.0.0.1")]).post(f"http://localhost:{port_of(endpoint)}/", b"{}", {})
    assert looked_up == ["127.0.0.1"]


def test_a_proxy_of_the_environment_is_not_used(endpoint: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert outbound().post(endpoint.url, b"{}", {}).status == 204


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(endpoint: Receiver, status: int) -> None:
    with receiver() as other:
        endpoint.always(status, {"Location": other.url})
        reply = outbound().post(endpoint.url, b"{}", {})
    assert (reply.status, reply.headers["location"]) == (status, other.url)
    assert other.received == []


def test_the_next_address_is_tried_where_one_refuses_connections(endpoint: Receiver) -> None:
    reply = outbound(lambda *_: [ip_address("127.0.0.2"), ip_address("127.0.0.1")]).post(
        f"http://hook.example:{port_of(endpoint)}/", b"{}", {}
    )
    assert reply.status == 204
    with pytest.raises(OutboundError, match=r"^it cannot be reached: Connection refused$"):
        outbound(lambda *_: [ip_address("127.0.0.2")]).post(f"http://x:{port_of(endpoint)}/", b"{}", {})


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost and 127.0.0.1, and its key."""
    return self_signed(tmp_path)


def trusting(certificate: Path, host: str) -> Outbound:
    context = ssl.create_default_context(cafile=str(certificate))
    return Outbound(Addresses(LOOPBACK, lambda *_: [ip_address("127.0.0.1")]), lambda: context)


def test_the_certificate_is_that_of_the_name_not_of_the_address(certificate: tuple[Path, Path]) -> None:
    with receiver(certificate) as endpoint:
        port = port_of(endpoint)
        client = trusting(certificate[0], "localhost")
        assert client.post(f"https://localhost:{port}/", b"{}", {}).status == 204
        assert endpoint.received[0].headers["host"] == f"localhost:{port}"
        with pytest.raises(OutboundError, match=r"^its certificate is not trusted: Hostname mismatch"):
            client.post(f"https://hook.example:{port}/", b"{}", {})
        with pytest.raises(OutboundError, match=r"^its certificate is not trusted: self-signed certificate$"):
            outbound(lambda *_: [ip_address("127.0.0.1")]).post(f"https://localhost:{port}/", b"{}", {})
        assert len(endpoint.received) == 1


def test_the_server_is_told_the_name(certificate: tuple[Path, Path]) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.sni_callback = lambda _, name, __: names.append(name)

    def talk(connection: socket.socket, _: threading.Event) -> None:
        with context.wrap_socket(connection, server_side=True) as secure:
            # The body may come alone, and what is not read would reset the connection.
            request = b""
            while not request.endswith(b"\r\n\r\n{}"):
                request += secure.recv(65_536)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with raw_endpoint(talk) as port:
        assert trusting(certificate[0], "localhost").post(f"https://localhost:{port}/", b"{}", {}).status == 200
    assert names == ["localhost"]


def silent(connection: socket.socket, ending: threading.Event) -> None:
    connection.recv(65_536)
    ending.wait(30)


def drip(text: bytes, then: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Return an endpoint that sends `text`, and then `then` again and again, slowly."""

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(text)
        while not ending.wait(0.02):
            connection.sendall(then)

    return talk


@pytest.mark.parametrize(
    "talk",
    [
        silent,
        drip(b"", b"H"),
        drip(b"HTTP/1.1 200 OK\r\n", b"X: 1\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nX: ", b"1"),
        drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["silent", "slow status", "slow headers", "slow header", "only 100 Continue"],
)
def test_an_endpoint_that_never_responds_ends_at_the_limit(
    talk: Callable[[socket.socket, threading.Event], None],
) -> None:
    with raw_endpoint(talk) as port, pytest.raises(OutboundError, match=LATE):
        outbound(limit=SHORT).post(f"http://127.0.0.1:{port}/", b"{}", {})


def test_an_endpoint_has_the_time_that_the_connection_did_not_take(endpoint: Receiver) -> None:
    """Each of several addresses has a part of the time to connect; the response has all of the rest."""
    endpoint.respond = lambda _: (500 if threading.Event().wait(SHORT) else 204, {})
    several: list[Address] = [ip_address(f"127.0.0.{number}") for number in (1, 2, 3)]

    client = outbound(lambda *_: several, limit=5 * SHORT)
    assert client.post(f"http://hook.example:{port_of(endpoint)}/", b"{}", {}).status == 204


def test_a_handshake_that_never_ends_does_at_the_limit() -> None:
    with raw_endpoint(silent) as port, pytest.raises(OutboundError, match=LATE):
        outbound(limit=SHORT).post(f"https://127.0.0.1:{port}/", b"{}", {})


def test_an_endpoint_that_does_not_read_ends_at_the_limit() -> None:
    def deaf(_: socket.socket, ending: threading.Event) -> None:
        ending.wait(30)

    with raw_endpoint(deaf) as port, pytest.raises(OutboundError, match=LATE):
        outbound(limit=SHORT).post(f"http://127.0.0.1:{port}/", b" " * 50_000_000, {})


def test_a_resolver_that_takes_the_whole_limit_leaves_no_time_to_connect(endpoint: Receiver) -> None:
    def slow(host: str, port: int) -> list[Address]:
        time.sleep(SHORT)
        return [ip_address("127.0.0.1")]

    with pytest.raises(OutboundError, match=LATE):
        outbound(slow, limit=SHORT / 2).post(endpoint.url, b"{}", {})
    assert endpoint.received == []


@pytest.mark.parametrize(
    "head", [b"Transfer-Encoding: chunked\r\n\r\n", b"\r\n", b"Content-Length: 999999999999\r\n\r\n"]
)
def test_of_an_endless_body_no_more_is_read_than_the_limit(head: bytes) -> None:
    sent: list[int] = []

    def talk(connection: socket.socket, ending: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\n" + head)
        piece = b"4000\r\n" + b"a" * 0x4000 + b"\r\n" if b"chunked" in head else b"a" * 0x4000
        while not ending.is_set():
            connection.sendall(piece)
            sent.append(len(piece))

    with raw_endpoint(talk) as port:
        reply = outbound().post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert reply == Reply(200, reply.headers, b"a" * MAX_RESPONSE, complete=False)


def test_the_status_counts_where_the_body_never_ends() -> None:
    with raw_endpoint(drip(b"HTTP/1.1 200 OK\r\n\r\n", b"a")) as port:
        reply = outbound(limit=SHORT).post(f"http://127.0.0.1:{port}/", b"{}", {})
    assert (reply.status, reply.complete) == (200, False)


def test_an_endpoint_can_respond_before_it_has_read_the_request() -> None:
    gone = b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"

    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.sendall(gone)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    with raw_endpoint(talk) as port:
        assert outbound().post(f"http://127.0.0.1:{port}/", b" " * 1_000, {}).status == 410


def test_a_compressed_body_is_not_expanded() -> None:
    bomb = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + b"\x1f\x8b" * 10

    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(bomb)

    with raw_endpoint(talk) as port:
        assert outbound().post(f"http://127.0.0.1:{port}/", b"{}", {}).body == b"\x1f\x8b" * 10


@pytest.mark.parametrize(
    "sent", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x46"]
)
def test_what_is_no_http_is_not_repeated_in_the_message(sent: bytes) -> None:
    def talk(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65_536)
        connection.sendall(sent)

    with raw_endpoint(talk) as port, pytest.raises(OutboundError) as failed:
        outbound().post(f"http://127.0.0.1:{port}/secret", b"{}", {})
    assert "SSH" not in str(failed.value)
    assert "secret" not in str(failed.value)
