"""Puts: media types, sizes and labels that a policy asks for when a manifest is pushed."""

import json
from typing import Any, Final

import pytest

from lading.registry.registry import Registry
from lading_storage.query import Query
from lading_storage.records.core import Manifest
from tests.support import images
from tests.support.policies import REPOSITORY, policy, refusal, set_policies
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.signatures import sign

OCI: Final = "application/vnd.oci.*"


def push(registry: Registry, content: bytes) -> str:
    """Push a manifest, and return why that is refused, or ""."""
    return refusal(lambda: push_manifest(registry, REPOSITORY, content, "v1"))


def image_with(registry: Registry, config: Any, layer: bytes = b"layer", **fields: Any) -> bytes:
    """The manifest of an image whose blobs are pushed."""
    content = json.dumps(config).encode()
    for blob in (content, layer):
        push_blob(registry, REPOSITORY, blob)
    return images.manifest([layer], content, **fields)


def test_other_media_types_are_refused(registry: Registry) -> None:
    set_policies(registry, policy(push={"mediaTypes": [OCI]}))
    plain = image_with(registry, {})
    other = json.loads(plain)
    other["layers"][0]["mediaType"] = "application/x-tar"

    assert push(registry, plain) == ""
    assert "the media type application/x-tar is not allowed" in push(registry, json.dumps(other).encode())


def test_the_size_is_that_of_what_is_stored(registry: Registry) -> None:
    set_policies(registry, policy(push={"maximumSize": "1KiB"}))
    large = json.loads(image_with(registry, {}, bytes(2_000)))
    large["layers"][0]["size"] = 1

    assert push(registry, image_with(registry, {}, bytes(1_000))) == ""
    assert "more than 1024" in push(registry, json.dumps(large).encode())


@pytest.mark.parametrize(
    ("config", "annotations", "is_refused"),
    [
        ({"config": {"Labels": {"owner": "team"}}}, {}, False),
        ({}, {"owner": "team"}, False),
        ({"config": {"Labels": {"Owner": "team"}}}, {}, True),
        ({"config": {"Labels": None}}, {}, True),
        ([], {}, True),
        ({}, {}, True),
    ],
)
def test_labels_are_those_of_the_config_or_annotations(
    registry: Registry, config: Any, annotations: dict[str, str], is_refused: bool
) -> None:
    set_policies(registry, policy(push={"requiredLabels": ["owner"]}))

    assert bool(push(registry, image_with(registry, config, annotations=annotations))) is is_refused


def test_what_is_no_image_needs_no_label(registry: Registry) -> None:
    image = push_image(registry, REPOSITORY, "old")
    set_policies(registry, policy(push={"requiredLabels": ["owner"]}))

    assert refusal(lambda: sign(registry, image)) == ""


def test_a_refused_push_stores_nothing_and_one_that_audits_does(registry: Registry) -> None:
    content = image_with(registry, {}, annotations={"a": "b"})
    set_policies(registry, policy(push={"mediaTypes": ["x/*"]}))
    assert "is not allowed" in push(registry, content)
    assert registry.metadata.find(Query(Manifest, repository=REPOSITORY, limit=1)) == []

    set_policies(registry, policy(push={"mediaTypes": ["x/*"]}) | {"mode": "audit"})
    assert push(registry, content) == ""
