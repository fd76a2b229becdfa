"""Claims, on both pairs of stores: every image is claimed by one scanner at a time, and at most three times."""

import json
from collections import Counter
from datetime import timedelta

import pytest

from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading.registry.scans import claims as claims_module
from lading.registry.scans.claims import LEASE, MATCH_INTERVAL
from lading.scanning.findings import DONE, FAILED, WAITING
from lading_storage.protocols import Delete
from lading_storage.records.core import Key
from lading_storage.records.scans import MATCH, SCAN, LayerScan
from lading_storage.stores import Stores
from tests.scans.scan_steps import (
    EXTRACTOR,
    A,
    accept,
    claim_all,
    facts_of,
    has_facts,
    manifest_with,
    only_claim,
    pushed,
    result_of,
    scan,
)
from tests.support import images
from tests.support.concurrency import run_concurrently
from tests.support.fake_clock import FakeClock
from tests.support.policies import SCANNED, policy, set_policies
from tests.support.registry_pushes import push_manifest
from tests.support.store_hooks import RecordedMetadata


def test_a_claim_says_what_the_image_consists_of(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry, layers=3)

    claim = only_claim(registry)

    assert (claim.repository, claim.digest, claim.task, claim.fingerprint) == (A, image.digest, SCAN, "")
    assert claim.config
    assert claim.config.digest == image.blobs[0]
    assert [layer.digest for layer in claim.layers] == [*image.blobs[1:]]
    assert {layer.packages for layer in claim.layers} == {None}
    assert clock.time < claim.until <= clock.time + LEASE


def test_a_claimed_image_is_due_again_when_its_lease_has_ended(registry: Registry, clock: FakeClock) -> None:
    pushed(registry)
    first = only_claim(registry)

    assert claim_all(registry) == []
    clock.advance(minutes=14)
    assert claim_all(registry) == []
    clock.advance(minutes=1)
    second = only_claim(registry)

    assert second.digest == first.digest
    assert second.nonce != first.nonce


def test_an_image_whose_scanners_die_fails_after_three_tries_with_the_reason(
    registry: Registry, clock: FakeClock
) -> None:
    image = pushed(registry)
    for _ in range(3):
        only_claim(registry)
        clock.advance(minutes=16)

    assert claim_all(registry) == []

    facts = facts_of(registry, image)
    assert (facts.state, facts.task, facts.claim) == (FAILED, "", "")
    assert facts.reason == "the scanner did not finish 3 times; last: it ended without a result"
    clock.advance(days=2)
    assert claim_all(registry) == []


def test_a_claim_that_is_released_counts_as_no_try(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    for _ in range(5):
        claim = only_claim(registry)
        registry.scans.claims.release(A, claim.digest, claim.nonce)

    assert (facts_of(registry, image).tries, facts_of(registry, image).task) == (0, SCAN)
    with pytest.raises(RegistryError, match="claim"):
        accept(registry, claim, result_of(claim, clock))
    held = only_claim(registry)
    for nonce in (claim.nonce, ""):
        registry.scans.claims.release(A, held.digest, nonce)
    assert registry.scans.is_held(A, held.digest, held.nonce)
    accept(registry, held, result_of(held, clock))
    done = facts_of(registry, image)
    registry.scans.claims.release(A, held.digest, held.nonce)
    registry.scans.claims.release(A, "sha256:" + "0" * 64, held.nonce)
    assert facts_of(registry, image) == done


def test_the_reason_of_the_last_try_is_kept(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    for number in range(3):
        claim = only_claim(registry)
        accept(
            registry,
            claim,
            result_of(claim, clock, state=WAITING, reason=f"no memory {number}"),
        )
        assert claim_all(registry) == []
        clock.advance(minutes=16)

    facts = facts_of(registry, image)
    assert (facts.state, facts.reason) == (FAILED, "the scanner did not finish 3 times; last: no memory 2")


def test_a_comparison_whose_scanners_die_keeps_the_result_and_is_tried_the_next_day(
    registry: Registry, clock: FakeClock
) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)
    clock.advance(days=1)
    for _ in range(3):
        assert only_claim(registry).task == MATCH
        clock.advance(minutes=16)
    assert claim_all(registry) == []

    facts = facts_of(registry, image)
    assert (facts.state, facts.counts, facts.content, facts.at) == (DONE, before.counts, before.content, before.at)
    assert "did not finish" in facts.reason
    clock.advance(days=1)
    scan(registry, clock, 2)
    assert facts_of(registry, image).reason == ""


def test_a_claim_of_a_scanned_image_holds_the_packages_of_its_layers(registry: Registry, clock: FakeClock) -> None:
    pushed(registry, layers=2)
    scan(registry, clock)
    clock.advance(days=1)

    claim = only_claim(registry)

    assert [layer.packages for layer in claim.layers] == [b"packages", b"packages"]
    assert (claim.data, claim.fingerprint) == ({"Debian": "etag 1"}, "findings 1")


def test_layers_that_other_extractors_read_are_read_again(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    clock.advance(days=1)

    (claim,) = registry.scans.claims.claim(1, EXTRACTOR + 1)

    assert [layer.packages for layer in claim.layers] == [None]
    assert claim.fingerprint == ""
    accept(registry, claim, result_of(claim, clock, 2, extractor=EXTRACTOR + 1))
    key = Key(LayerScan, image.blobs[1])
    kept = registry.metadata.read([key])[key]
    assert kept
    assert kept.extractor == EXTRACTOR + 1


def test_a_layer_of_two_images_is_read_once(registry: Registry, clock: FakeClock) -> None:
    first = pushed(registry, "a", layers=2)
    second = push_manifest(
        registry, A, manifest_with(layers=json.loads(first.content or b"")["layers"], annotations={"n": "2"}), "b"
    )
    claim = registry.scans.claims.claim(1, EXTRACTOR)[0]
    accept(registry, claim, result_of(claim, clock))

    other = only_claim(registry)

    assert {claim.digest, other.digest} == {first.digest, second.digest}
    assert [layer.packages for layer in other.layers] == [b"packages", b"packages"]


def test_packages_in_a_claim_are_bounded(registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed(registry, layers=3)
    scan(registry, clock)
    clock.advance(days=1)
    monkeypatch.setattr(claims_module, "MAX_PACKAGES_SIZE", 20)

    claim = only_claim(registry)

    assert Counter(layer.packages for layer in claim.layers) == {b"packages": 2, None: 1}


def test_two_scanners_never_claim_the_same_image(stores: Stores, clock: FakeClock) -> None:
    first, second = (Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True) for _ in range(2))
    digests = {pushed(first, f"v{number}").digest for number in range(8)}

    claimed = run_concurrently(lambda: claim_all(first), lambda: claim_all(second))

    counts = Counter(claim.digest for claims in claimed for claim in claims)
    assert counts == dict.fromkeys(digests, 1)


def test_scans_come_before_comparisons(registry: Registry, clock: FakeClock) -> None:
    old = pushed(registry, "old")
    scan(registry, clock)
    clock.advance(days=2)
    new = pushed(registry, "new")

    assert [claim.digest for claim in registry.scans.claims.claim(2, EXTRACTOR)] == [new.digest, old.digest]


def test_an_image_out_of_use_is_not_compared(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    registry.tags.delete(A, "v1")
    clock.advance(days=1)

    assert claim_all(registry) == []

    facts = facts_of(registry, image)
    assert facts.next > clock.time + MATCH_INTERVAL - timedelta(minutes=1)
    registry.last_pulls.record_pull(A, image.digest)
    clock.advance(days=1)
    assert [claim.digest for claim in claim_all(registry)] == [image.digest]
    clock.advance(days=91)
    assert claim_all(registry) == []


@pytest.mark.parametrize("place", ["requirement", "alternative"])
def test_an_image_out_of_use_is_compared_where_a_policy_limits_the_age_of_results(
    place: str, registry: Registry, clock: FakeClock
) -> None:
    """A refused pull is not recorded, so that such an image would be refused for ever."""
    image = pushed(registry)
    scan(registry, clock)
    registry.tags.delete(A, "v1")
    age = {"scan": {"maxAge": "7d"}}
    fields = age if place == "requirement" else {"anyOf": [age, {"image": {"minAge": "9d"}}]}
    set_policies(registry, policy("other", **age), policy(repositories=[A], **SCANNED))
    clock.advance(days=1)
    assert claim_all(registry) == []

    set_policies(registry, policy("other", **age), policy(repositories=[A], mode="audit", **fields))
    clock.advance(days=1)

    assert [claim.digest for claim in claim_all(registry)] == [image.digest]


def test_an_image_of_a_tagged_index_is_in_use_and_so_is_one_that_runs(registry: Registry, clock: FakeClock) -> None:
    child, running = pushed(registry, "child"), pushed(registry, "running")
    index = push_manifest(registry, A, images.index([child.content or b""]))
    push_manifest(registry, A, images.index([index.content or b""]), "multi")
    for claim in claim_all(registry):
        accept(registry, claim, result_of(claim, clock))
    for tag in ("child", "running"):
        registry.tags.delete(A, tag)
    registry.in_use_reports.report("cluster", [f"{A}@{running.digest}"])
    clock.advance(days=1)

    assert {claim.digest for claim in claim_all(registry)} == {child.digest, running.digest}


def test_a_deleted_image_is_put_off_and_a_restored_one_is_scanned(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    registry.deletion.manifest(A, image.digest)
    assert claim_all(registry) == []
    assert has_facts(registry, image)
    registry.undelete.manifest(A, image.digest)
    assert claim_all(registry) == []

    clock.advance(hours=1)

    assert only_claim(registry).digest == image.digest


def test_a_restored_image_is_scanned_at_once_on_request(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    registry.deletion.manifest(A, image.digest)
    assert claim_all(registry) == []
    registry.undelete.manifest(A, image.digest)

    registry.scans.again(A, image.id)

    assert only_claim(registry).digest == image.digest


def test_facts_without_an_image_are_dropped(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    image = pushed(registry)
    manifest = stores.metadata.read([image.key])[image.key]
    assert manifest
    stores.metadata.commit([Delete(manifest)])

    assert claim_all(registry) == []

    assert not has_facts(registry, image)


def test_a_scanner_without_work_costs_one_query(stores: Stores, clock: FakeClock) -> None:
    counted = RecordedMetadata(stores.metadata)
    registry = Registry(stores.blobs, counted, clock=clock, scans_images=True)
    for number in range(5):
        pushed(registry, f"v{number}")
    for claim in claim_all(registry):
        accept(registry, claim, result_of(claim, clock))
    assert claim_all(registry) == []
    counted.calls.clear()

    for _ in range(3):
        assert claim_all(registry) == []

    assert counted.calls == ["due"] * 3
    clock.advance(days=1)
    assert len(claim_all(registry)) == 5


def test_an_image_is_scanned_again_on_request(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    claim = only_claim(registry)
    assert registry.scans.again(A, image.digest).claim == claim.nonce, "a running scan is left alone"
    accept(registry, claim, result_of(claim, clock, state=FAILED, reason="a bomb"))
    assert claim_all(registry) == []

    facts = registry.scans.again(A, image.digest)

    assert (facts.state, facts.task) == (WAITING, SCAN)
    scan(registry, clock, 2)
    assert registry.scans.again(A, image.digest).state == DONE, "the result before is kept until there is another"
    scan(registry, clock, 3)
    assert facts_of(registry, image).counts == '{"high":[3,0]}'


def test_an_image_of_before_is_scanned_on_request_and_nothing_else_is(stores: Stores, clock: FakeClock) -> None:
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    image = pushed(plain)
    index = push_manifest(plain, A, images.index([image.content or b""]))

    assert plain.scans.facts(A, image.digest) is None
    assert plain.scans.again(A, image.digest) == plain.scans.facts(A, image.digest)
    for digest in (index.digest, "sha256:" + "0" * 64):
        with pytest.raises(RegistryError):
            plain.scans.again(A, digest)
    assert [claim.digest for claim in claim_all(plain)] == [image.digest]
