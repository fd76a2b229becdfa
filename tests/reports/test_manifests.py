"""Reports of what a manifest may say."""

import json
from typing import Any

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client

ANNOTATIONS = {
    "Platform": "a",
    "SIZE": "1",
    "digest": "x",
    "mediaType": "y",
    "layers": "",
    "Manifests": "z",
    "": "empty",
}


def push(client: Client, content: bytes, media_type: str = OCI_MANIFEST) -> int:
    client.push_blob("app", images.EMPTY_CONFIG)
    return client.request("PUT", "/v2/app/manifests/v1", content, {"Content-Type": media_type}).status


def test_21_the_keys_of_annotations_are_the_users_own(client: Client) -> None:
    """A chart with `Platform` or `Size` among its annotations was refused as malformed."""
    manifest = images.manifest([], annotations=ANNOTATIONS)
    assert push(client, manifest) == 201
    index = images.index([manifest], annotations=ANNOTATIONS)
    described = json.loads(index)
    described["manifests"][0]["annotations"] = ANNOTATIONS
    client.push_manifest("app", "all", json.dumps(described).encode())
    referrer = images.manifest([], annotations=ANNOTATIONS, subject=images.descriptor(manifest, OCI_MANIFEST))
    client.push_manifest("app", digest_of(referrer), referrer)
    listed = client.request("GET", f"/v2/app/referrers/{digest_of(manifest)}").json["manifests"]
    assert listed[0]["annotations"] == ANNOTATIONS


@pytest.mark.parametrize("said", [{}, {"mediaType": None}, {"mediaType": ""}, {"mediaType": OCI_MANIFEST}])
def test_22_a_manifest_need_not_say_its_media_type(client: Client, said: dict[str, Any]) -> None:
    """Manifests of older tools, which leave `mediaType` out or empty, could not be pushed, or came back as others."""
    described = {name: value for name, value in json.loads(images.manifest([])).items() if name != "mediaType"}
    content = json.dumps(described | said).encode()
    assert push(client, content) == 201
    answer = client.request("GET", "/v2/app/manifests/v1")
    assert (answer.body, answer.headers["Content-Type"]) == (content, OCI_MANIFEST)


@pytest.mark.parametrize("accept", ["", "application/vnd.docker.distribution.manifest.v1+json", "text/html", "*/*"])
def test_23_a_manifest_is_the_bytes_that_were_pushed(client: Client, accept: str) -> None:
    """One was formatted anew, or converted by the Accept header: its digest was another one for each client."""
    content = b"\n " + json.dumps(json.loads(images.manifest([])), indent=3).encode() + b"\r\n\n"
    assert push(client, content) == 201
    for reference in ("v1", digest_of(content)):
        answer = client.request("GET", f"/v2/app/manifests/{reference}", headers={"Accept": accept} if accept else {})
        assert (answer.status, answer.body) == (200, content)
        assert answer.headers["Docker-Content-Digest"] == digest_of(content)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST.upper(), f"{OCI_MANIFEST}; charset=utf-8", f" {OCI_MANIFEST} "])
def test_24_a_content_type_may_be_written_in_other_ways(client: Client, media_type: str) -> None:
    """Clients that add a charset, or write capitals, were told of another media type than the manifest's own."""
    content = images.manifest([])
    assert push(client, content, media_type) == 201
    assert client.request("GET", "/v2/app/manifests/v1").body == content
