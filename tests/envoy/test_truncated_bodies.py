"""A body over HTTP/2 that ends too early is never taken for a whole one behind Envoy, and nothing of it is kept."""

import contextlib
import json
import time

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.registry.content.manifests import MAX_MANIFEST
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.http2_client import connected
from tests.support.server_process import PROCESS_TIMEOUT, Server

FIRST, SECOND = (images.manifest([], annotations={"which": which}) for which in ("first", "second"))
ENDS = ["the stream is reset", "the connection is closed"]


def status_of(server: Server, agent: str) -> int:
    """Return the status in the access log of the request with this User-Agent, once it is there."""
    until = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < until:
        for line in server.log.read_text().splitlines():
            if agent in line and '"httpRequest"' in line:
                status: int = json.loads(line)["httpRequest"]["status"]
                return status
        time.sleep(0.05)
    raise AssertionError(f"{agent} is not in the log")


def manifest_headers(server: Server, agent: str = "test") -> list[tuple[str, str]]:
    """Return the headers of the push of a manifest."""
    return [("authorization", server.authorization), ("content-type", OCI_MANIFEST), ("user-agent", agent)]


def send_and_end(server: Server, method: str, path: str, body: bytes, end: str) -> int:
    """Send a request whose body does not end; return its status in the access log."""
    agent = f"cut-{time.monotonic_ns()}"
    with connected(server.port) as client:
        stream = client.send(method, path, manifest_headers(server, agent), body=None)
        client.send_body(stream, body)
        if end == ENDS[0]:
            client.reset(stream)
            return status_of(server, agent)
    return status_of(server, agent)


@pytest.fixture
def tagged(cloud: Server) -> Server:
    """The registry, where `prod` names FIRST."""
    config = images.EMPTY_CONFIG
    cloud.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(config)}", config)
    pushed, _ = cloud.request("PUT", "/v2/a/manifests/prod", FIRST, {"Content-Type": OCI_MANIFEST})
    assert pushed.status == 201
    return cloud


@pytest.mark.parametrize("end", ENDS)
def test_a_manifest_that_is_cut_does_not_reach_the_server(tagged: Server, end: str) -> None:
    with connected(tagged.port) as client:
        stream = client.send("PUT", "/v2/a/manifests/prod", manifest_headers(tagged), body=None)
        client.send_body(stream, SECOND)
        if end == ENDS[0]:
            client.reset(stream)
            assert client.reply(client.send("GET", "/v2/")).status == 401

    assert tagged.request("GET", "/v2/a/manifests/prod")[1] == FIRST
    assert tagged.request("HEAD", f"/v2/a/manifests/{digest_of(SECOND)}")[0].status == 404
    # The one line is that of the manifest which was pushed.
    assert tagged.log.read_text().count('"requestMethod": "PUT"') == 1


def test_a_whole_manifest_without_a_length_is_taken_while_others_are_cut(tagged: Server) -> None:
    """To the server, any of its connections that ends meanwhile might be that of the manifest."""
    with connected(tagged.port) as client:
        path = "/v2/" + tagged.request("POST", "/v2/a/blobs/uploads/")[0].headers["Location"].partition("/v2/")[2]
        upload = client.send("PATCH", path, manifest_headers(tagged), body=None)
        client.send_body(upload, bytes(1000))
        stream = client.send("PUT", "/v2/a/manifests/prod", manifest_headers(tagged), body=None)
        client.send_body(stream, SECOND[:10])
        time.sleep(0.2)
        client.reset(upload)
        time.sleep(0.2)
        client.send_body(stream, SECOND[10:], end=True)
        assert client.reply(stream).status == 201
    assert tagged.request("GET", "/v2/a/manifests/prod")[1] == SECOND


@pytest.mark.parametrize("size", [MAX_MANIFEST + 1, 2 * MAX_MANIFEST], ids=["by the server", "by Envoy"])
def test_a_manifest_without_a_length_that_is_too_large_is_refused_as_any(cloud: Server, size: int) -> None:
    with connected(cloud.port) as client:
        stream = client.send("PUT", "/v2/a/manifests/large", manifest_headers(cloud), body=None)
        # Envoy answers before it has all.
        with contextlib.suppress(ConnectionError):
            client.send_body(stream, bytes(size), end=True)
        reply = client.reply(stream)
    (error,) = json.loads(reply.content)["errors"]
    assert (reply.status, error["code"]) == (413, "SIZE_INVALID")


@pytest.mark.parametrize("end", ENDS)
def test_a_part_that_is_cut_is_not_kept(cloud: Server, end: str) -> None:
    path = "/v2/" + cloud.request("POST", "/v2/a/blobs/uploads/")[0].headers["Location"].partition("/v2/")[2]

    assert send_and_end(cloud, "PATCH", path, bytes(100_000), end) == 400

    response, _ = cloud.request("GET", path)
    assert (response.status, response.headers["Range"]) == (204, "0-0")
