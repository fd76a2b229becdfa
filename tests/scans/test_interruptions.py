"""Results that are interrupted, on both pairs of stores: one report for each image, wherever a scanner dies."""

import contextlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from lading.registry.registry import Registry
from lading.registry.scans.claim import Claim
from lading.registry.scans.documents import CYCLONEDX, IN_TOTO
from lading.scanning.findings import DONE
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import MATCH, Facts
from lading_storage.stores import Stores
from tests.scans.scan_steps import (
    A,
    accept,
    claim_all,
    collect_all,
    facts_of,
    only_claim,
    pushed,
    referrers,
    result_of,
    scan,
)
from tests.support.concurrency import run_concurrently
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.outbox import assert_events_match
from tests.support.store_hooks import Killed

T = TypeVar("T")


NIGHTLY = os.environ.get("LADING_NIGHTLY") == "1"
"""Whether to try all points; otherwise some, since the emulators are slow."""


def is_local(stores: Stores) -> bool:
    return isinstance(stores.metadata, SqliteMetadata)


def between(
    stores: Stores, clock: FakeClock, point: int, then: Callable[[], Any]
) -> tuple[Registry, InterleavingStore]:
    """A registry that does `then` just before one of its calls."""
    store = InterleavingStore(stores.metadata, point, then)
    return Registry(stores.blobs, store, clock=clock, scans_images=True), store


def calls_of_a_result(stores: Stores, clock: FakeClock, registry: Registry, name: str) -> int:
    """How many calls a result makes that replaces documents."""
    claim = prepared(registry, clock, name)
    other, store = between(stores, clock, -1, lambda: None)
    accept(other, claim, result_of(claim, clock, 2))
    return store.calls


def prepared(registry: Registry, clock: FakeClock, name: str) -> Claim:
    """A claim of an image that has documents, and a layer that must be read."""
    image = pushed(registry, name)
    scan(registry, clock)
    clock.advance(days=1)
    (claim,) = (claim for claim in registry.scans.claims.claim(100, 2) if claim.digest == image.digest)
    assert claim.task == MATCH
    return claim


def test_a_scanner_that_dies_anywhere_leaves_an_image_that_is_scanned_next(
    registry: Registry, stores: Stores, clock: FakeClock
) -> None:
    def die() -> None:
        raise Killed

    calls = calls_of_a_result(stores, clock, registry, "whole")
    assert calls > 10
    step = 1 if NIGHTLY or is_local(stores) else 5
    for point in range(0, calls, step):
        name = f"v{point}"
        registry.deletion.repository(A)
        claim = prepared(registry, clock, name)
        dying, _ = between(stores, clock, point, die)
        with contextlib.suppress(Killed):
            accept(dying, claim, result_of(claim, clock, 2, extractor=2))
        assert_intact(Snapshot(stores, [A]))

        clock.advance(minutes=16)
        for again in registry.scans.claims.claim(100, 2):
            accept(registry, again, result_of(again, clock, 2, extractor=2))

        image = registry.manifests.find(A, name)
        key = Key(Facts, image.digest, A)
        facts = registry.metadata.read([key])[key]
        assert facts
        assert (facts.state, facts.claim, facts.counts) == (DONE, "", '{"high":[2,0]}'), point
        manifest = registry.metadata.read([own := Key(Manifest, image.digest, A)])[own]
        assert manifest
        assert referrers(registry, manifest) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}, point
    assert_events_match(stores.metadata, A)
    registry.deletion.repository(A)
    collect_all(registry, clock)
    assert_no_garbage(Snapshot(stores, [A]))


def test_a_deletion_in_the_middle_of_a_result_loses_nothing(stores: Stores, registry: Registry) -> None:
    clock = TickingClock()
    registry = Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)
    calls = calls_of_a_result(stores, clock, registry, "whole")
    step = 1 if NIGHTLY else 3 if is_local(stores) else 9
    for point in range(0, calls, step):
        registry.deletion.repository(A)
        claim = prepared(registry, clock, f"v{point}")
        meeting, _ = between(
            stores,
            clock,
            point,
            lambda claim=claim: registry.deletion.manifest(A, claim.digest),  # type: ignore[misc]
        )
        accept(meeting, claim, result_of(claim, clock, 2))
        assert_intact(Snapshot(stores, [A]))
        key = Key(Manifest, claim.digest, A)
        if registry.metadata.read([key])[key] is not None:
            registry.deletion.manifest(A, claim.digest)

        registry.undelete.manifest(A, claim.digest)
        clock.advance(days=1)
        for again in claim_all(registry):
            accept(registry, again, result_of(again, clock, 3))

        image = registry.metadata.read([key])[key]
        assert image
        facts = facts_of(registry, image)
        assert facts.counts == '{"high":[3,0]}', point
        assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}, point


def test_two_results_at_once_make_one_report(stores: Stores, clock: FakeClock, registry: Registry) -> None:
    image = pushed(registry)
    claim = only_claim(registry)
    others = [Registry(stores.blobs, stores.metadata, clock=clock) for _ in range(4)]
    results = [result_of(claim, clock, number) for number in range(4)]

    run_concurrently(*(partial(accept, each, claim, result) for each, result in zip(others, results, strict=True)))

    facts = facts_of(registry, image)
    assert referrers(registry, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}
    assert (facts.state, facts.claim) == (DONE, "")
    assert_intact(Snapshot(stores, [A]))
