"""Facts and documents through deletions, restores, purges, collections and backups, on both pairs of stores."""

from pathlib import Path

from lading.jobs.backup import back_up, restore
from lading.registry.registry import Registry
from lading.registry.scans.documents import CYCLONEDX, IN_TOTO
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest
from lading_storage.records.scans import Facts, LayerScan
from lading_storage.stores import Stores
from tests.scans.scan_steps import (
    A,
    accept,
    claim_all,
    collect_all,
    facts_of,
    has_facts,
    pushed,
    referrers,
    result_of,
    scan,
)
from tests.support.fake_clock import FakeClock
from tests.support.folder_stores import folder_stores
from tests.support.invariants import Snapshot, assert_no_garbage


def test_documents_are_deleted_and_restored_with_their_image(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    scan(registry, clock)
    before = facts_of(registry, image)

    registry.deletion.manifest(A, image.digest)
    assert registry.metadata.find(Query(Manifest, repository=A, limit=9)) == []
    assert facts_of(registry, image) == before
    restored = registry.undelete.manifest(A, image.digest)

    assert sorted(restored) == sorted([image.digest, before.sbom, before.report])
    assert referrers(registry, image) == {CYCLONEDX: [before.sbom], IN_TOTO: [before.report]}
    assert facts_of(registry, image) == before


def test_a_purge_leaves_nothing(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    kept, purged = pushed(registry, "kept"), pushed(registry, "purged")
    for _ in range(2):
        scan_all(registry, clock)
    registry.deletion.manifest(A, purged.digest)

    collect_all(registry, clock)

    assert has_facts(registry, kept)
    assert not has_facts(registry, purged)
    assert [scan.id for scan in stores.metadata.find(Query(LayerScan, limit=9))] == [kept.blobs[1]]
    assert_no_garbage(Snapshot(stores, [A]))


def scan_all(registry: Registry, clock: FakeClock) -> None:
    while claims := registry.scans.claims.claim(1, 1):
        accept(registry, claims[0], result_of(claims[0], clock))


def test_a_purge_of_an_image_that_waits_leaves_nothing(registry: Registry, clock: FakeClock) -> None:
    image = pushed(registry)
    registry.deletion.manifest(A, image.digest)

    collect_all(registry, clock)

    assert not has_facts(registry, image)
    assert claim_all(registry) == []


def test_a_deleted_repository_leaves_nothing(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    for number in range(3):
        pushed(registry, f"v{number}")
    scan_all(registry, clock)
    registry.deletion.repository(A)

    collect_all(registry, clock)

    assert stores.metadata.find(Query(Facts, repository=A, limit=9)) == []
    assert stores.metadata.find(Query(LayerScan, limit=9)) == []
    snapshot = Snapshot(stores, [A])
    assert_no_garbage(snapshot)
    assert (snapshot.repositories, snapshot.blobs) == ({}, {})


def test_packages_of_a_layer_live_as_long_as_its_blob(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    image = pushed(registry)
    registry.blobs.mount("other", image.blobs[1], A, lambda name: True)
    scan(registry, clock)
    registry.deletion.repository(A)
    clock.advance(days=8)
    registry.blobs.mount("other", image.blobs[1], "other", lambda name: True)
    key = Key(LayerScan, image.blobs[1])

    assert stores.metadata.read([key])[key] is not None
    collect_all(registry, clock)
    assert stores.metadata.read([key])[key] is None


def test_a_backup_carries_facts_and_documents_and_no_packages_of_layers(
    registry: Registry, stores: Stores, clock: FakeClock, tmp_path: Path
) -> None:
    image, deleted = pushed(registry, "v1"), pushed(registry, "v2")
    scan_all(registry, clock)
    registry.deletion.manifest(A, deleted.digest)
    facts = facts_of(registry, image)

    back_up(stores, tmp_path / "backup")

    other = folder_stores(tmp_path / "other")
    restore(tmp_path / "backup", other)
    copy = Registry(other.blobs, other.metadata, clock=clock)
    assert facts_of(copy, image) == facts
    assert not has_facts(copy, deleted), "a backup has no tombstones"
    assert referrers(copy, image) == {CYCLONEDX: [facts.sbom], IN_TOTO: [facts.report]}
    assert copy.metadata.find(Query(LayerScan, limit=9)) == []
    clock.advance(days=1)
    assert [layer.packages for claim in claim_all(copy) for layer in claim.layers] == [None]
    copy.close()
