"""A client over HTTP/2 that is interrupted, stalls or does not read ends its own request, and nothing else."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from lading.app import THREADS_PER_DRAIN
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.server.envoy_config import STREAM_WINDOW
from lading_storage.digests import digest_of
from tests.faults import NIGHTLY
from tests.support import images
from tests.support.function_commands import AS_BUILT
from tests.support.http2_client import Client, connected
from tests.support.server_process import Server, serving

GOES_ON = 150.0 if NIGHTLY else 5.0
"""Seconds that a healthy upload goes on beside another; LADING_NIGHTLY=1 has more than the old server's 122 s."""

BODY_TIMEOUT = 2
THREADS = 80
"""As Terraform has it by default."""

CHUNK = os.urandom(64 * 1024)
LARGE = os.urandom(8 * 1024 * 1024)


@pytest.fixture
def cloud(cloud_environment: tuple[Mapping[str, str], str], tmp_path: Path) -> Iterator[Server]:
    """The registry, which gives up soon on a body that stands still, and is the same process in the end."""
    environment, authorization = cloud_environment
    environment = {**environment, "LADING_BODY_TIMEOUT": str(BODY_TIMEOUT), "LADING_THREADS": str(THREADS)}
    with serving(environment, tmp_path / "log", command=AS_BUILT) as server:
        server.authorization = authorization
        children = server.children()
        yield server
        assert server.children() == children, "the server began anew"


@contextlib.contextmanager
def connection(server: Server) -> Iterator[Client]:
    with connected(server.port, server.host) as client:
        yield client


def begin(client: Client, server: Server) -> tuple[int, str]:
    """Begin an upload, and its PATCH; return the stream of that, and the path."""
    authorization = ("authorization", server.authorization)
    posted = client.reply(client.send("POST", "/v2/a/blobs/uploads/", [authorization]))
    path = posted.headers["location"].removeprefix(f"http://{server.host}")
    return client.send("PATCH", path, [authorization], body=None), path


def finish(client: Client, server: Server, stream: int, path: str, content: bytes) -> None:
    """End a PATCH, and the upload."""
    client.h2.end_stream(stream)
    client.flush()
    patched = client.reply(stream)
    assert patched.status == 202, patched
    authorization = ("authorization", server.authorization)
    location = patched.headers["location"].removeprefix(f"http://{server.host}")
    joined = "&" if "?" in location else "?"
    put = client.reply(client.send("PUT", f"{location}{joined}digest={digest_of(content)}", [authorization]))
    assert put.status == 201, put


def go_on(client: Client, server: Server, stream: int, path: str) -> None:
    """Send a healthy upload piece by piece for a while, and finish it."""
    content, deadline = b"", time.monotonic() + GOES_ON
    while time.monotonic() < deadline:
        client.send_body(stream, CHUNK)
        content += CHUNK
        time.sleep(0.1)
    finish(client, server, stream, path, content)


def test_an_interrupted_upload_leaves_its_neighbour_alone(cloud: Server) -> None:
    with connection(cloud) as client:
        interrupted, _ = begin(client, cloud)
        healthy, path = begin(client, cloud)
        for stream in (interrupted, healthy):
            client.send_body(stream, CHUNK)
        client.reset(interrupted)
        content, deadline = CHUNK, time.monotonic() + GOES_ON
        while time.monotonic() < deadline:
            client.send_body(healthy, CHUNK)
            content += CHUNK
            time.sleep(0.1)
        finish(client, cloud, healthy, path, content)
    assert cloud.request("GET", "/v2/")[0].status == 200


def test_an_interrupted_client_leaves_others_alone(cloud: Server) -> None:
    with connection(cloud) as healthy:
        stream, path = begin(healthy, cloud)
        with connection(cloud) as interrupted:
            for _ in range(5):
                interrupted.send_body(begin(interrupted, cloud)[0], CHUNK)
        go_on(healthy, cloud, stream, path)


def test_interrupted_requests_leave_their_neighbour_alone_however_many_they_are(cloud: Server) -> None:
    """Envoy's own default is to abort the connection at the 250th."""
    with connection(cloud) as client:
        healthy, path = begin(client, cloud)
        client.send_body(healthy, CHUNK)
        for _ in range(600):
            client.reset(client.send("GET", "/v2/"))
        client.send_body(healthy, CHUNK)
        finish(client, cloud, healthy, path, CHUNK + CHUNK)


def test_a_stalled_upload_ends_alone(cloud: Server) -> None:
    with connection(cloud) as client:
        stalled, _ = begin(client, cloud)
        healthy, path = begin(client, cloud)
        client.send_body(stalled, CHUNK)
        go_on(client, cloud, healthy, path)
        reply = client.reply(stalled)
        assert reply.status == 408 or reply.reset is not None


def test_refused_bodies_without_an_end_leave_their_neighbour_alone(cloud: Server) -> None:
    """Each as large as the window of a stream: the connection's has room for all.

    The server reads so many refused bodies at a time on, for a while (PROXY_DRAIN_TIMEOUT): a connection that it closed
    with unread bytes would be reset, and the answer could be lost.
    """
    authorization, path = ("authorization", cloud.authorization), "/v2/a/blobs/uploads/absent"
    # So that no request waits until the password is checked: few do at a time, and others get 503.
    assert cloud.request("GET", "/v2/")[0].status == 200
    with connection(cloud) as client:
        refused = [client.send("PATCH", path, [authorization], body=None) for _ in range(THREADS // THREADS_PER_DRAIN)]
        for stream in refused:
            client.send_body(stream, bytes(STREAM_WINDOW))
        healthy, path = begin(client, cloud)
        client.send_body(healthy, LARGE)
        finish(client, cloud, healthy, path, LARGE)
        for stream in refused:
            reply = client.reply(stream)
            assert reply.status == 404, reply


def test_a_client_that_does_not_read_delays_no_other(cloud: Server) -> None:
    digest = digest_of(LARGE)
    pushed, _ = cloud.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", LARGE)
    assert pushed.status == 201
    # The path that streams, whatever the stores are: a redirect has no body.
    authorization = ("authorization", cloud.authorization)
    with connection(cloud) as client:
        client.reads = False
        unread = client.send("GET", f"/v2/a/blobs/{digest}", [authorization])
        while not client.replies[unread].status:
            client.receive()
        if client.replies[unread].status == 307:
            pytest.skip("Cloud Storage sends the blob itself")
        with contextlib.suppress(TimeoutError):
            client.sock.settimeout(0.5)
            while True:
                client.receive()
        client.sock.settimeout(20)
        assert len(client.replies[unread].content) < len(LARGE)
        # The client's own window of the connection is used up by now: it makes room for other streams only.
        client.h2.increment_flow_control_window(len(LARGE))
        client.flush()
        healthy, path = begin(client, cloud)
        go_on(client, cloud, healthy, path)
        assert len(client.replies[unread].content) < len(LARGE)
    assert cloud.request("GET", f"/v2/a/blobs/{digest}")[1] == LARGE


@pytest.mark.parametrize("length", [True, False], ids=["Content-Length", "no length"])
def test_a_manifest_that_is_cut_off_moves_no_tag(cloud: Server, length: bool) -> None:
    """Cut before its last newline it is whole JSON of another digest."""
    before, after = (images.manifest([], annotations={"n": n}).rstrip() + b"\n\n" for n in ("1", "2"))
    assert cloud.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(b'{}')}", b"{}")[0].status == 201
    assert cloud.request("PUT", "/v2/a/manifests/prod", before)[0].status == 201
    headers = [("authorization", cloud.authorization), ("content-type", OCI_MANIFEST)]
    headers += [("content-length", str(len(after)))] if length else []
    with connection(cloud) as client:
        stream = client.send("PUT", "/v2/a/manifests/prod", headers, body=None)
        if not client.replies[stream].status:
            client.send_body(stream, after[:-1])
        time.sleep(0.5)
        client.reset(stream)
        time.sleep(0.5)
    assert cloud.request("GET", "/v2/a/manifests/prod")[1] == before


def test_an_upload_that_is_cut_off_is_no_blob(cloud: Server) -> None:
    digest = digest_of(CHUNK)
    headers = [("authorization", cloud.authorization), ("content-type", "application/octet-stream")]
    with connection(cloud) as client:
        stream = client.send("POST", f"/v2/a/blobs/uploads/?digest={digest}", headers, body=None)
        client.send_body(stream, CHUNK)
        time.sleep(0.5)
        client.reset(stream)
        time.sleep(0.5)
    assert cloud.request("HEAD", f"/v2/a/blobs/{digest}")[0].status == 404
