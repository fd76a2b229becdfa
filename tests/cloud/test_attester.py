"""The attester, called as Pub/Sub calls it: an image that passes gets an attestation, after the event of its push."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from emulators import Emulators
from emulators.cloud import Cloud
from emulators.deployment import NOTE
from emulators.scheduler import call
from tests.cloud.containers import deployed_or_skipped, repository, server_of
from tests.support import images
from tests.support.server_process import Server

TIMEOUT = 120.0
"""Seconds until an image must have been attested."""

POLICIES = {"policies": [{"name": "old", "repositories": ["team-b/*"], "mode": "enforce", "image": {"maxAge": "90d"}}]}


@pytest.fixture(scope="module")
def cloud(emulators: Emulators) -> Iterator[Cloud]:
    """A deployment with an attester, whose registry enforces a policy that a new image fulfils."""
    with deployed_or_skipped(emulators, with_attest=True) as started:
        started.start_trigger()
        started.start_subscription()
        yield started


@pytest.fixture
def registry(cloud: Cloud) -> Server:
    return server_of(cloud.registry, cloud)


def push(registry: Server, name: str) -> str:
    """Push an image; return its digest."""
    layer = images.blob()
    for blob in (images.EMPTY_CONFIG, layer):
        digest = images.descriptor(blob)["digest"]
        response, _ = registry.request("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", blob)
        assert response.status == 201
    content = images.manifest([layer])
    response, body = registry.request(
        "PUT", f"/v2/{name}/manifests/v1", content, {"Content-Type": json.loads(content)["mediaType"]}
    )
    assert response.status == 201, body
    return str(images.descriptor(content)["digest"])


def attestations(cloud: Cloud) -> list[Mapping[str, Any]]:
    return list(json.loads(cloud.iam.world.read_text()).get("occurrences", {}).values())


def test_an_image_that_is_pushed_is_attested(cloud: Cloud, registry: Server) -> None:
    assert cloud.attest is not None
    response, body = registry.request("PUT", "/v2/_lading/rules", json.dumps({"rules": POLICIES}).encode())
    assert response.status == 200, body
    name = repository()

    digest = push(registry, name)
    deadline = time.monotonic() + TIMEOUT
    while not attestations(cloud) and time.monotonic() < deadline:
        time.sleep(0.2)

    (found,) = attestations(cloud)
    assert (found["noteName"], found["resourceUri"]) == (NOTE, f"https://{cloud.host}/{name}@{digest}")
    url = f"http://127.0.0.1:{cloud.attest.port}"
    status, report = call(url, cloud.accounts.scheduler)
    assert (status, json.loads(report)["finished"]) == (200, True), cloud.attest.log.read_text()
    assert len(attestations(cloud)) == 1
    assert call(url, cloud.accounts.events)[0] == 403
