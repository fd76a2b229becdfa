"""The details of Envoy's configuration, each before an upstream that shows what arrives."""

import json
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.server import envoy_config, envoy_overload
from tests.support.envoy_proxy import OK, TIMEOUT, EnvoyProxy, run_envoy
from tests.support.http2_client import connected


@pytest.fixture
def envoy(tmp_path: Path) -> Iterator[EnvoyProxy]:
    with run_envoy(tmp_path) as started:
        yield started


def error_of(content: bytes) -> str:
    """The code of an error as the specification has them."""
    (error,) = json.loads(content)["errors"]
    assert error["message"]
    return str(error["code"])


PATHS = [
    "/v2/a//b/tags/list",
    "/v2/a/../b/manifests/v1",
    "/v2/a/%2e%2e/b/manifests/v1",
    "/v2/a%2fb/manifests/v1",
    "/v2/a%2Fb/manifests/v1",
    "/v2/a/./manifests/v1;x=1?digest=sha256:00%20+&n=%7e",
    "/v2/a\\b/manifests/v1",
]


@pytest.mark.parametrize("path", PATHS)
def test_a_path_arrives_as_it_was_sent(envoy: EnvoyProxy, path: str) -> None:
    assert envoy.request("GET", path)[0].status == 200
    with connected(envoy.port) as client:
        assert client.reply(client.send("GET", path)).status == 200
    assert [envoy.upstream.lines(number)[0] for number in (0, 1)] == [f"GET {path} HTTP/1.1"] * 2


def test_headers_arrive_as_they_were_sent_and_nothing_is_added(envoy: EnvoyProxy) -> None:
    sent = {
        "authorization": "Bearer " + "t" * 50_000,
        "x-forwarded-for": "10.0.0.1,192.0.2.1",
        "x-forwarded-proto": "https",
        "x-request-id": "mine",
        "x-cloud-trace-context": "0123/1;o=1",
        "range": "bytes=0-1",
    }
    expected = sorted(["host: registry", *(f"{name}: {value}" for name, value in sent.items())])

    response, _ = envoy.request("GET", "/v2/", sent)
    with connected(envoy.port) as client:
        reply = client.reply(client.send("GET", "/v2/", list(sent.items())))

    for number in (0, 1):
        assert sorted(envoy.upstream.lines(number)[1:]) == expected
    assert set(response.headers) == {"content-length", "server", "date"}
    assert set(reply.headers) == {":status", "content-length", "server", "date"}
    assert response.headers["Server"] == reply.headers["server"] == "upstream"


def test_no_request_gets_an_id(envoy: EnvoyProxy) -> None:
    envoy.request("GET", "/v2/")
    assert sorted(envoy.upstream.lines()[1:]) == ["host: registry", "x-forwarded-proto: http"]


def test_names_that_wsgi_takes_for_others_are_dropped(envoy: EnvoyProxy) -> None:
    forged = {"X_Forwarded_For": "127.0.0.1", "x_request_id": "1"}
    envoy.request("GET", "/v2/", {**forged, "X-Forwarded-For": "192.0.2.1"})
    with connected(envoy.port) as client:
        headers = [("x_forwarded_for", "127.0.0.1"), ("x-forwarded-for", "192.0.2.1")]
        client.reply(client.send("GET", "/v2/", headers))
    for number in (0, 1):
        assert [line for line in envoy.upstream.lines(number) if "or" in line.lower()[:16]] == [
            "x-forwarded-for: 192.0.2.1",
            "x-forwarded-proto: http",
        ]


ASKED = {"x-envoy-retry-on": "5xx,reset", "x-envoy-max-retries": "3", "x-envoy-upstream-rq-timeout-ms": "1"}


@pytest.mark.parametrize("headers", [{}, ASKED])
def test_nothing_is_sent_twice(envoy: EnvoyProxy, headers: dict[str, str]) -> None:
    envoy.upstream.exchange = lambda connection, _head: connection.close()

    response, content = envoy.request("PUT", "/v2/a/manifests/v1", headers, b"")

    assert (response.status, response.headers["Retry-After"]) == (503, "5")
    assert error_of(content) == "UNAVAILABLE"
    assert len(envoy.upstream.heads) == 1


def test_a_client_sets_no_timeout(envoy: EnvoyProxy) -> None:
    def late(connection: socket.socket, _head: bytes) -> None:
        time.sleep(0.3)
        connection.sendall(OK)

    envoy.upstream.exchange = late
    assert envoy.request("GET", "/v2/", ASKED)[0].status == 200


def test_a_client_that_waits_for_100_is_refused_before_it_has_sent_a_body(envoy: EnvoyProxy) -> None:
    refusal = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
    envoy.upstream.exchange = lambda connection, _head: connection.sendall(refusal)
    with socket.create_connection(("127.0.0.1", envoy.port), TIMEOUT) as sock:
        sock.sendall(b"PUT /v2/a HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 401")
    assert "expect: 100-continue" in envoy.upstream.lines()


def test_a_client_that_waits_for_100_is_told_by_the_server(envoy: EnvoyProxy) -> None:
    def go_on(connection: socket.socket, _head: bytes) -> None:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert connection.recv(4) == b"body"
        connection.sendall(OK)

    envoy.upstream.exchange = go_on
    with socket.create_connection(("127.0.0.1", envoy.port), TIMEOUT) as sock:
        sock.sendall(b"PUT /v2/a HTTP/1.1\r\nHost: r\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert sock.recv(4096).startswith(b"HTTP/1.1 100")
        sock.sendall(b"body")
        assert sock.recv(4096).startswith(b"HTTP/1.1 200")


def test_an_answer_to_head_keeps_its_content_length(envoy: EnvoyProxy) -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 123456\r\n\r\n"
    envoy.upstream.exchange = lambda connection, _head: connection.sendall(long)
    response, _ = envoy.request("HEAD", "/v2/a/manifests/v1")
    assert response.headers["Content-Length"] == "123456"
    with connected(envoy.port) as client:
        reply = client.reply(client.send("HEAD", "/v2/a/manifests/v1"))
    assert (reply.headers["content-length"], reply.content) == ("123456", b"")


def test_without_a_server_the_answer_is_an_error_that_passes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with run_envoy(tmp_path, port) as envoy, connected(envoy.port) as client:
        reply = client.reply(client.send("GET", "/v2/"))
        assert (reply.status, reply.headers["retry-after"]) == (503, "5")
        assert reply.headers["content-type"] == "application/json"
        assert error_of(reply.content) == "UNAVAILABLE"


def test_headers_that_are_too_large_are_refused_by_stream(envoy: EnvoyProxy) -> None:
    large = {"authorization": "t" * (envoy_config.MAX_HEADERS_KIB * 1024 + 1)}
    response, content = envoy.request("GET", "/v2/", large)
    assert (response.status, error_of(content)) == (431, "UNSUPPORTED")
    with connected(envoy.port) as client:
        assert client.reply(client.send("GET", "/v2/", list(large.items()))).reset is not None
        assert client.reply(client.send("GET", "/v2/")).status == 200
    assert len(envoy.upstream.heads) == 1


def test_more_headers_than_the_server_accepts_are_refused_with_the_reason(envoy: EnvoyProxy) -> None:
    maximum = {f"a{number}": "b" for number in range(envoy_config.MAX_HEADERS - 1)}  # and Host
    response, _ = envoy.request("GET", "/v2/", maximum)
    assert response.status == 200
    assert len(envoy.upstream.lines()) - 1 <= 100
    response, content = envoy.request("GET", "/v2/", {**maximum, "more": "b"})
    assert (response.status, error_of(content)) == (431, "UNSUPPORTED")
    assert f"more than {envoy_config.MAX_HEADERS} headers" in content.decode()


@pytest.mark.parametrize("length", [10**15, 2**64 - 2, 2**64 - 1])
def test_a_content_length_that_no_body_has_is_refused(envoy: EnvoyProxy, length: int) -> None:
    for path in ("/v2/a/manifests/v1", "/v2/a/blobs/uploads/x"):
        response, content = envoy.request("PUT", path, {"Content-Length": str(length)})
        assert (response.status, error_of(content)) == (413, "SIZE_INVALID")
    assert not envoy.upstream.heads
    envoy.request("PUT", "/v2/a/blobs/uploads/x", {"Content-Length": str(10**15 - 1)})
    assert len(envoy.upstream.heads) == 1


def test_options_of_the_server_are_no_request_of_envoy(envoy: EnvoyProxy) -> None:
    response, content = envoy.request("OPTIONS", "*")
    assert (response.status, error_of(content)) == (404, "UNSUPPORTED")
    with connected(envoy.port) as client:
        assert client.reply(client.send("OPTIONS", "*")).status == 404


def test_http_1_0_is_refused_with_the_version_to_use(envoy: EnvoyProxy) -> None:
    with socket.create_connection(("127.0.0.1", envoy.port), TIMEOUT) as sock:
        sock.sendall(b"GET /v2/ HTTP/1.0\r\nHost: r\r\n\r\n")
        head, _, content = b"".join(iter(lambda: sock.recv(4096), b"")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 426")
    assert error_of(content) == "UNSUPPORTED"


def test_a_full_heap_refuses_requests_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_overload, "MAX_HEAP", 1024)
    with run_envoy(tmp_path) as envoy:
        deadline = time.monotonic() + TIMEOUT
        while (answer := envoy.request("GET", "/v2/"))[0].status != 503:
            assert time.monotonic() < deadline
    assert (answer[0].headers["Retry-After"], error_of(answer[1])) == ("5", "UNAVAILABLE")


def test_connections_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envoy_overload, "MAX_CONNECTIONS", 2)
    with run_envoy(tmp_path) as envoy, connected(envoy.port) as one, connected(envoy.port) as two:
        with socket.create_connection(("127.0.0.1", envoy.port), TIMEOUT) as third:
            assert third.recv(1) == b""
        assert [each.reply(each.send("GET", "/v2/")).status for each in (one, two)] == [200, 200]


def test_each_stream_has_its_own_window_and_the_connection_room_for_all(envoy: EnvoyProxy) -> None:
    with connected(envoy.port) as client:
        client.reply(client.send("GET", "/v2/"))
        settings = client.h2.remote_settings
        assert settings.max_concurrent_streams == 100
        assert settings.initial_window_size == 256 * 1024
        assert client.h2.outbound_flow_control_window == 100 * 256 * 1024


def test_it_listens_on_one_port_and_only_its_owner_may_administer_it(envoy: EnvoyProxy) -> None:
    assert envoy.ports() == {envoy.port}
    assert stat.S_IMODE(envoy.admin.stat().st_mode) == 0o600


def test_it_has_one_worker_and_no_shared_memory(envoy: EnvoyProxy) -> None:
    names = [path.read_text() for path in Path(f"/proc/{envoy.process.pid}/task").glob("*/comm")]
    assert sum(name.startswith("wrk:") for name in names) == 1
    assert "/dev/shm" not in Path(f"/proc/{envoy.process.pid}/maps").read_text()


def test_it_logs_no_requests(envoy: EnvoyProxy) -> None:
    envoy.request("GET", "/v2/")
    with connected(envoy.port) as client:
        client.reset(client.send("PUT", "/v2/", body=None))
    assert envoy.log.read_bytes() == b""
