"""Indexes: whose signatures vouch for their images, and which are gated themselves."""

import json

import pytest

from lading.registry.content.manifest_format import OCI_INDEX
from lading.registry.policies import indexes_above
from lading.registry.registry import Registry
from lading_storage.protocols import Delete
from lading_storage.records.core import Key, Manifest
from lading_storage.records.trust import Trust
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.policies import (
    REPOSITORY,
    UNSIGNED,
    content_of,
    forget,
    policy,
    pulled,
    refused_pull,
    set_policies,
    signed_by,
)
from tests.support.registry_pushes import push_manifest
from tests.support.signatures import FORGER, OTHER, RELEASE, sign


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def index_of(registry: Registry, image: Manifest) -> Manifest:
    return push_manifest(registry, image.repository, images.index([content_of(registry, image)]), "index")


def test_a_signed_index_vouches_for_its_images_in_the_same_repository(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    index = index_of(registry, image)
    assert pulled(registry, "index") == "", "an index is not gated: its images are"
    assert refused_pull(registry, image.digest) != ""

    sign(registry, index)
    assert refused_pull(registry, image.digest) == ""
    assert refused_pull(forget(registry), image.digest) == ""


def test_an_image_in_another_repository_is_not_vouched_for(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    sign(registry, index_of(registry, image))
    for digest in image.blobs:
        registry.blobs.mount("prod/other", digest, REPOSITORY, lambda name: True)
    push_manifest(registry, "prod/other", content_of(registry, image), "v1")

    assert refused_pull(registry, image.digest) == ""
    assert refused_pull(registry, image.digest, repository="prod/other") != ""


def seven_indexes_of(registry: Registry, image: Manifest) -> list[Manifest]:
    """Push seven indexes that contain an image; return them in the order in which they are searched."""
    contents = [images.index([content_of(registry, image)], annotations={"n": str(each)}) for each in range(7)]
    return sorted((push_manifest(registry, REPOSITORY, each) for each in contents), key=lambda each: each.digest)


@pytest.mark.parametrize("trust", ["verified", "stale", "none", "none, of a standby"])
def test_an_index_that_is_signed_vouches_however_many_others_there_are(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch, trust: str
) -> None:
    """Who may push can push indexes of any image, and keeps no client from pulling it by that."""
    monkeypatch.setattr(indexes_above, "PAGE_SIZE", 2)
    monkeypatch.setattr(indexes_above, "MAX_VERIFIED", 2)
    set_policies(registry, policy(**signed_by()))
    signed = seven_indexes_of(registry, image)[-1]
    signature = sign(registry, signed)
    if trust == "verified":
        for act in registry.push.after:
            act(signature, ())
    if trust.startswith("none"):  # an earlier release wrote none
        key = Key(Trust, signed.digest, REPOSITORY)
        stale = registry.metadata.read([key])[key]
        assert stale is not None
        registry.metadata.commit([Delete(stale)])

    other = forget(registry)
    if trust == "none, of a standby":
        other.become_standby()
    refused = [bool(refused_pull(other, image.digest)) for _ in range(4)]

    assert refused == ([True, True, True, False] if trust.startswith("none") else [False] * 4)


def test_after_a_change_of_keys_an_index_that_was_signed_is_verified_first(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody who may push can sign other indexes of the image with a key of his own."""
    monkeypatch.setattr(indexes_above, "MAX_VERIFIED", 2)
    set_policies(registry, policy(**signed_by()))
    *others, signed = seven_indexes_of(registry, image)
    for each in (*others, signed):
        signature = sign(registry, each, RELEASE if each is signed else FORGER)
        for act in registry.push.after:
            act(signature, ())
    set_policies(registry, policy(**signed_by(RELEASE, OTHER)))

    assert refused_pull(forget(registry), image.digest) == ""


@pytest.mark.parametrize("is_signed", [True, False])
def test_more_indexes_than_a_decision_searches_delay_it(
    registry: Registry, image: Manifest, monkeypatch: pytest.MonkeyPatch, is_signed: bool
) -> None:
    """Each decision searches as many more; a pusher of thousands can delay the first pulls, and let nothing pass."""
    monkeypatch.setattr(indexes_above, "PAGE_SIZE", 1)
    monkeypatch.setattr(indexes_above, "MAX_INDEXES", 2)
    set_policies(registry, policy(**signed_by()))
    last = seven_indexes_of(registry, image)[-1]
    if is_signed:
        sign(registry, last)

    for process in (forget(registry), forget(registry)):
        refused = [bool(refused_pull(process, image.digest)) for _ in range(6)]
        assert refused == ([True, True, True, False, False, False] if is_signed else [True] * 6)


def test_an_index_whose_signature_is_deleted_vouches_no_more(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy(**signed_by()))
    index = index_of(registry, image)
    signature = sign(registry, index)
    assert refused_pull(registry, image.digest) == ""

    registry.deletion.manifest(REPOSITORY, signature.digest)
    assert refused_pull(registry, image.digest) != ""

    sign(registry, index, number=2)
    assert refused_pull(registry, image.digest) == ""
    registry.deletion.manifest(REPOSITORY, index.digest)
    assert refused_pull(registry, image.digest) != "", "the hint is no record"


@pytest.mark.parametrize(("name", "value"), [("data", "e30="), ("urls", ["https://example.com/manifest"])])
def test_an_index_whose_manifests_are_elsewhere_is_gated(
    registry: Registry, image: Manifest, name: str, value: object
) -> None:
    """containerd takes an image that an index has, or whose URL it has, and does not request it here."""
    set_policies(registry, policy(**signed_by()))
    fields = json.loads(images.index([content_of(registry, image)]))
    fields["manifests"][0][name] = value
    index = push_manifest(registry, REPOSITORY, json.dumps(fields).encode(), "embedded")

    assert refused_pull(registry, "embedded").startswith(UNSIGNED)
    sign(registry, index)
    assert refused_pull(registry, "embedded") == ""


@pytest.mark.parametrize("name", ["config", "fsLayers", "FSLayerS", "history"])
def test_an_index_that_another_one_can_call_an_image_is_gated(registry: Registry, image: Manifest, name: str) -> None:
    """containerd 2 goes by the type that the index above it names, and needs no layers that the node has."""
    set_policies(registry, policy(**signed_by()))
    value = json.loads(content_of(registry, image))["config"] if name == "config" else []
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, name: value}).encode()
    index = push_manifest(registry, REPOSITORY, content, "index")
    assert pulled(registry, index_of(registry, image).digest) == ""

    assert refused_pull(registry, index.digest).startswith(UNSIGNED)
    sign(registry, index)
    assert refused_pull(registry, index.digest) == ""
