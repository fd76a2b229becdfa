"""A body over HTTP/2 that ends too early is never taken for a whole one behind Envoy, and nothing of it is kept."""

import json
import time

import pytest

from functions.registry.documents import OCI_MANIFEST
from storage.digests import digest_of
from tests import images
from tests.envoy.h2_client import connected
from tests.servers import PATIENCE, Server

FIRST, SECOND = (images.manifest([], annotations={"which": which}) for which in ("first", "second"))
ENDS = ["the stream is reset", "the connection is closed"]


def status_of(server: Server, agent: str) -> int:
    """Return the status in the access log of the request with this User-Agent, once it is there."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        for line in server.log.read_text().splitlines():
            if agent in line and '"httpRequest"' in line:
                status: int = json.loads(line)["httpRequest"]["status"]
                return status
        time.sleep(0.05)
    raise AssertionError(f"{agent} is not in the log")


def send_and_end(server: Server, method: str, path: str, body: bytes, end: str) -> int:
    """Send a request whose body does not end; return its status in the access log."""
    agent = f"cut-{time.monotonic_ns()}"
    headers = [("authorization", server.authorization), ("content-type", OCI_MANIFEST), ("user-agent", agent)]
    with connected(server.port) as client:
        stream = client.send(method, path, headers, body=None)
        client.send_body(stream, body)
        if end == ENDS[0]:
            client.reset(stream)
            return status_of(server, agent)
    return status_of(server, agent)


@pytest.mark.parametrize("end", ENDS)
def test_a_manifest_that_is_cut_moves_no_tag(cloud: Server, end: str) -> None:
    config = images.EMPTY_CONFIG
    cloud.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(config)}", config)
    pushed, _ = cloud.request("PUT", "/v2/a/manifests/prod", FIRST, {"Content-Type": OCI_MANIFEST})
    assert pushed.status == 201

    assert send_and_end(cloud, "PUT", "/v2/a/manifests/prod", SECOND, end) in (400, 503)

    assert cloud.request("GET", "/v2/a/manifests/prod")[1] == FIRST
    assert cloud.request("HEAD", f"/v2/a/manifests/{digest_of(SECOND)}")[0].status == 404


@pytest.mark.parametrize("end", ENDS)
def test_a_part_that_is_cut_is_not_kept(cloud: Server, end: str) -> None:
    path = "/v2/" + cloud.request("POST", "/v2/a/blobs/uploads/")[0].headers["Location"].partition("/v2/")[2]

    assert send_and_end(cloud, "PATCH", path, bytes(100_000), end) == 400

    response, _ = cloud.request("GET", path)
    assert (response.status, response.headers["Range"]) == (204, "0-0")
