"""What is read of a layer, which all images share, whatever dies meanwhile, and whatever one manifest says of it."""

import json
from typing import Final

import pytest

from lading.registry.registry import Registry
from lading.scanner import scan_run
from lading.scanning.findings import DONE, FAILED, UNSUPPORTED, WAITING
from lading.scanning.layer_packages import EXTRACTOR_VERSION
from lading_storage.digests import digest_of
from tests.scans.scan_runs import FakeData, FakeLayers, image_of, npm, run
from tests.scans.scan_steps import A, facts_of, manifest_with
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_manifest


@pytest.fixture
def layers() -> FakeLayers:
    return FakeLayers({b"base": npm("left-pad", "1.0.0"), b"app": npm("express", "4.0.0")})


def test_a_layer_whose_process_was_killed_is_read_again(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    image = image_of(registry, "v1", b"base")
    layers.failures = 1

    run(registry, clock, layers, data)

    assert facts_of(registry, image).state == DONE
    assert len(layers.read) == 2


def test_an_image_whose_scanner_is_killed_each_time_has_three_tries(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    """With a policy, a failed scan is an outage: one lack of memory must not make it."""
    image = image_of(registry, "v1", b"base")
    layers.failures = 5
    states = []
    for _ in range(3):
        run(registry, clock, layers, data)
        states.append(facts_of(registry, image).state)
        clock.advance(minutes=3)
    assert states == [WAITING, WAITING, DONE]

    other = image_of(registry, "v2", b"app")
    layers.failures = 6
    for _ in range(3):
        run(registry, clock, layers, data)
        clock.advance(minutes=3)
    facts = facts_of(registry, other)
    assert (facts.state, facts.task) == (FAILED, "")
    assert facts.reason.endswith(f"the layer {digest_of(b'app')}: the process that reads it was killed")


def test_new_extractors_that_are_killed_leave_the_result_before(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of(registry, "v1", b"base")
    run(registry, clock, layers, data)
    before = facts_of(registry, image)
    monkeypatch.setattr(scan_run, "EXTRACTOR_VERSION", EXTRACTOR_VERSION + 1)
    layers.failures = 6
    clock.advance(days=1)

    for _ in range(3):
        run(registry, clock, layers, data)
        clock.advance(minutes=3)

    facts = facts_of(registry, image)
    assert (facts.state, facts.counts, facts.report) == (DONE, before.counts, before.report)
    assert "was killed" in facts.reason
    clock.advance(days=1)
    run(registry, clock, layers, data)
    assert (facts_of(registry, image).state, facts_of(registry, image).reason) == (DONE, "")


UNREADABLE: Final = {
    "of an unknown type": "application/vnd.example.layer",
    "encrypted": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted",
    "foreign": "application/vnd.oci.image.layer.nondistributable.v1.tar",
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_one_manifest_says_of_a_layer_does_not_reach_other_images(
    kind: str, registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    """All images share what was read of a layer: who pushes a manifest must not decide what it is."""
    other = "other/app"
    push_blob(registry, other, images.EMPTY_CONFIG)
    if kind != "foreign":
        push_blob(registry, other, b"base")
    push_blob(registry, A, b"base")
    odd = manifest_with(layers=[images.descriptor(b"base", UNREADABLE[kind])])
    push_manifest(registry, other, odd, "v1")
    run(registry, clock, layers, data)

    image = image_of(registry, "v1", b"base")
    run(registry, clock, layers, data)

    facts = facts_of(registry, image)
    assert (facts.state, facts.notes, json.loads(facts.counts)) == (DONE, (), {"unknown": [1, 0]})


def test_the_packages_of_a_layer_are_not_shown_to_a_repository_that_lacks_it(
    registry: Registry, clock: FakeClock, layers: FakeLayers, data: FakeData
) -> None:
    """Any client that knows the digest of a foreign layer can name it."""
    image_of(registry, "v1", b"base")
    run(registry, clock, layers, data)
    other = "other/app"
    push_blob(registry, other, images.EMPTY_CONFIG)
    foreign = images.descriptor(b"base", UNREADABLE["foreign"])
    spy = push_manifest(registry, other, manifest_with(layers=[foreign]), "v1")

    run(registry, clock, layers, data)

    document = registry.image_scans.document(other, spy.digest)
    assert (document.state, document.packages, document.vulnerabilities) == (UNSUPPORTED, None, ())
