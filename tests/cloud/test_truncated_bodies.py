"""A body that is cut off is never whole: nothing of it is kept, however it was cut on its way through Envoy.

Each cut comes when all bytes have arrived and only the sign of the end is missing, so a server that takes what has come
for the body keeps it. The manifest loses its last newline alone, and what is left is a good one.
"""

import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import urlencode

import pytest

from emulators.cloud import Cloud
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.cloud.containers import open_upload, repository
from tests.cloud.h2c_requests import connected
from tests.support import images
from tests.support.server_process import Server

TIMEOUT: Final = 20.0
"""Seconds for the server to be done with a request whose client is gone."""

Cut = Callable[[Server, str, str, bytes, dict[str, str]], None]


def by_http1(end: str) -> Cut:
    """Chunks without the last one, and then the end of the connection: FIN, RST, or FIN within a chunk."""

    def cut(registry: Server, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        fields = {"Host": registry.host, "Authorization": registry.authorization, **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        size = len(body) + (7 if end == "within a chunk" else 0)
        with socket.create_connection(("127.0.0.1", registry.port), 30) as sock:
            sock.sendall(f"{method} {path} HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            sock.sendall(b"%x\r\n%b" % (size, body) + (b"" if end == "within a chunk" else b"\r\n"))
            time.sleep(0.2)
            if end == "RST":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return cut


def by_http2(end: str) -> Cut:
    """Data without END_STREAM, and then RST_STREAM, or the end of the connection."""

    def cut(registry: Server, method: str, path: str, body: bytes, headers: dict[str, str]) -> None:
        with connected(registry) as http2:
            stream = http2.send_headers(method, path, headers)
            http2.send(stream, body)
            time.sleep(0.2)
            if end == "RST_STREAM":
                http2.client.reset(stream)
                assert http2.request("GET", "/v2/").status == 200

    return cut


TRUNCATIONS: Final[dict[str, Cut]] = {
    "HTTP/1.1, FIN": by_http1("FIN"),
    "HTTP/1.1, RST": by_http1("RST"),
    "HTTP/1.1, FIN within a chunk": by_http1("within a chunk"),
    "h2c, RST_STREAM": by_http2("RST_STREAM"),
    "h2c, connection closed": by_http2("closed"),
}


@pytest.fixture(params=TRUNCATIONS)
def cut(request: pytest.FixtureRequest) -> Cut:
    """A way to send a request whose body is cut off."""
    return TRUNCATIONS[request.param]


def wait_until_done(registry: Server, path: str, before: int) -> list[int]:
    """Wait until the log has one more request for a path than `before`; return the statuses of all of them."""
    deadline = time.monotonic() + TIMEOUT
    while len(found := statuses(registry, path)) <= before and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def statuses(registry: Server, path: str) -> list[int]:
    """Return the statuses of the requests for a path, of which the log has no query."""
    lines = [json.loads(line) for line in registry.log.read_text().splitlines() if line.startswith("{")]
    requests = [line["httpRequest"] for line in lines if "httpRequest" in line]
    return [each["status"] for each in requests if each["requestUrl"] == path.partition("?")[0]]


def send_truncated(cut: Cut, registry: Server, method: str, path: str, body: bytes, **headers: str) -> None:
    """Send a request whose body is cut off, and wait until the server is done with it, with a failure."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    before = len(statuses(registry, path))
    cut(registry, method, path, body, named)
    done = wait_until_done(registry, path, before)[before:]
    assert done, "the server is done with it"
    assert done == [400], done


def truncate_before_the_server(cut: Cut, registry: Server, method: str, path: str, body: bytes, **headers: str) -> None:
    """Send a request whose body is cut off, and which Envoy holds until it is whole: the server does not see it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    before = statuses(registry, path)
    cut(registry, method, path, body, named)
    assert registry.request("GET", "/v2/")[0].status == 200
    assert statuses(registry, path) == before


def test_a_part_of_an_upload(registry: Server, cut: Cut) -> None:
    name, part = repository(), images.blob(100_000)
    with connected(registry) as http2:
        path = open_upload(http2, name)

        send_truncated(cut, registry, "PATCH", path, part, Content_Type="application/octet-stream")

        rest = images.blob(1000)
        sent = http2.request("PATCH", path, rest, {"content-range": f"0-{len(rest) - 1}"})
        assert (sent.status, sent.headers["range"]) == (202, f"0-{len(rest) - 1}"), "the session is as it was"


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_blob_whose_digest_is_right(registry: Server, cut: Cut, method: str) -> None:
    name, content = repository(), images.blob(100_000)
    with connected(registry) as http2:
        path = f"/v2/{name}/blobs/uploads/" if method == "POST" else open_upload(http2, name)
        path += f"{'&' if '?' in path else '?'}digest={digest_of(content)}"

        send_truncated(cut, registry, method, path, content)

        assert http2.request("HEAD", f"/v2/{name}/blobs/{digest_of(content)}").status == 404


def test_a_manifest_without_its_last_newline(registry: Server, cut: Cut) -> None:
    name, layer = repository(), images.blob()
    first, second = images.manifest([layer]), images.manifest([layer], annotations={"a": "b"})
    path = f"/v2/{name}/manifests/prod"
    with connected(registry) as http2:
        for content in (images.EMPTY_CONFIG, layer):
            upload = f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}"
            assert http2.request("POST", upload, content).status == 201
        assert http2.request("PUT", path, first, {"content-type": OCI_MANIFEST}).status == 201

        truncate_before_the_server(cut, registry, "PUT", path, second, Content_Type=OCI_MANIFEST)

        assert http2.request("GET", path).content == first, "the tag has not moved"
        assert http2.request("GET", f"/v2/{name}/manifests/{digest_of(second)}").status == 404


def test_the_form_of_a_token(registry: Server, cloud: Cloud, cut: Cut) -> None:
    fields = {"grant_type": "refresh_token", "service": registry.host, "client_id": "a", "refresh_token": cloud.token}
    form, kind = urlencode(fields).encode(), "application/x-www-form-urlencoded"
    with connected(registry) as http2:
        assert http2.request("POST", "/v2/token", form, {"content-type": kind}).status == 200

    truncate_before_the_server(cut, registry, "POST", "/v2/token", form, Content_Type=kind)
