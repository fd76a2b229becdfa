"""Facts that a push creates, on both pairs of stores: for images alone, once, in the same commit."""

from collections import Counter
from collections.abc import Sequence

import pytest

from lading.registry.change_context import PUSH
from lading.registry.content.image_facts import WAITING
from lading.registry.registry import Registry
from lading.scanning import findings
from lading_storage.digests import digest_of
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import MetadataStore, Write, key_of
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import SCAN, Facts
from lading_storage.stores import Stores
from tests.scans.scan_steps import A, facts_of, has_facts, manifest_with, pushed, scan
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_manifest
from tests.support.store_hooks import RecordedMetadata


class WriteLog(ForwardingMetadata):
    """Records what each commit writes."""

    def __init__(self, store: MetadataStore) -> None:
        super().__init__(store)
        self.commits: list[Counter[str]] = []

    def commit(self, writes: Sequence[Write]) -> None:
        super().commit(writes)
        self.commits.append(Counter(f"{type(write).__name__} {key_of(write).kind.KIND}" for write in writes))


def push(registry: Registry, content: bytes, *blobs: bytes) -> Manifest:
    for each in (images.EMPTY_CONFIG, *blobs):
        push_blob(registry, A, each)
    return push_manifest(registry, A, content)


def test_a_push_of_an_image_costs_one_write_more_and_no_call(stores: Stores, clock: FakeClock) -> None:
    log, without = WriteLog(stores.metadata), WriteLog(stores.metadata)
    calls, calls_without = RecordedMetadata(log), RecordedMetadata(without)
    layer = images.blob()
    scanning = Registry(stores.blobs, calls, clock=clock, scans_images=True)
    plain = Registry(stores.blobs, calls_without, clock=clock)
    for registry, name in ((scanning, "a"), (plain, "b")):
        push_blob(registry, name, images.EMPTY_CONFIG)
        push_blob(registry, name, layer)
    for each in (calls, calls_without):
        each.calls.clear()

    scanned = push_manifest(scanning, "a", images.manifest([layer]), "v1")
    unscanned = push_manifest(plain, "b", images.manifest([layer]), "v1")

    assert calls.calls == calls_without.calls == ["read", "commit"]
    assert log.commits[-1] - without.commits[-1] == Counter({"Create facts": 1})
    assert without.commits[-1] - log.commits[-1] == Counter()
    assert has_facts(scanning, scanned)
    assert not has_facts(plain, unscanned)


def test_new_facts_wait_for_a_scan_from_the_push_on(registry: Registry) -> None:
    image = pushed(registry)

    facts = facts_of(registry, image)

    assert (facts.state, facts.task, facts.next, facts.tries, facts.claim) == (WAITING, SCAN, image.created, 0, "")
    assert findings.WAITING == WAITING


def test_pushes_again_tags_and_mounts_leave_facts_as_they_are(registry: Registry, clock: FakeClock) -> None:
    layer = images.blob()
    image = push(registry, images.manifest([layer]), layer)
    scan(registry, clock)
    before = facts_of(registry, image)

    clock.advance(hours=1)
    push_manifest(registry, A, image.content or b"")
    push_manifest(registry, A, image.content or b"", "v2")
    registry.push.tag(A, image.digest, "v3", PUSH)
    registry.blobs.mount("other", digest_of(layer), A, lambda name: True)

    assert facts_of(registry, image) == before


def test_an_image_that_was_pushed_before_it_was_scanned_gets_facts_by_the_next_push(
    stores: Stores, clock: FakeClock, registry: Registry
) -> None:
    image = pushed(Registry(stores.blobs, stores.metadata, clock=clock))
    assert not has_facts(registry, image)

    push_manifest(registry, A, image.content or b"")

    assert has_facts(registry, image)


@pytest.mark.parametrize(
    "fields",
    [
        {"subject": images.descriptor(b"x", "application/vnd.oci.image.manifest.v1+json")},
        {"config": images.descriptor(images.EMPTY_CONFIG, "application/vnd.oci.empty.v1+json")},
        {"config": images.descriptor(images.EMPTY_CONFIG, "application/vnd.cncf.helm.config.v1+json")},
        {"layers": [images.descriptor(b"s", "application/vnd.dev.cosign.simplesigning.v1+json")]},
        {"layers": [images.descriptor(b"s", "application/vnd.in-toto+json")]},
    ],
    ids=["referrer", "artifact", "chart", "signature", "attestation"],
)
def test_what_is_no_image_is_not_scanned(registry: Registry, fields: dict[str, object]) -> None:
    manifest = push(registry, manifest_with(**fields), b"s")

    assert not has_facts(registry, manifest)


@pytest.mark.parametrize("layer_type", ["application/octet-stream", "", images.LAYER_TYPE.upper()])
def test_an_image_cannot_evade_the_scan_by_names_of_types(registry: Registry, layer_type: str) -> None:
    config = images.descriptor(images.EMPTY_CONFIG, images.CONFIG_TYPE.upper())
    layers = [images.descriptor(b"layer", layer_type)]

    image = push(registry, manifest_with(artifactType="some/thing", config=config, layers=layers), b"layer")

    assert has_facts(registry, image)


def test_the_children_of_an_index_are_scanned_and_itself_is_not(registry: Registry) -> None:
    first, second = pushed(registry, "a"), pushed(registry, "b")
    index = push_manifest(registry, A, images.index([first.content or b"", second.content or b""]), "multi")

    assert has_facts(registry, first)
    assert has_facts(registry, second)
    assert not has_facts(registry, index)
    assert registry.metadata.read([key := Key(Facts, index.digest, A)])[key] is None
