"""Layers that only deleted manifests name: no client sees them, and each comes back with a manifest that names it."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.query import Query
from lading_storage.records.core import HIDDEN, HIDDEN_UNVERIFIED, Key, Link, Manifest
from lading_storage.records.deleted import DeletedLink, DeletedManifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest

LAYER = b"a shared layer"
LAYER_DIGEST = digest_of(LAYER)
ONE = images.manifest([LAYER], annotations={"n": "1"})
TWO = images.manifest([LAYER], annotations={"n": "2"})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def push(registry: Registry, *contents: bytes, repository: str = "a") -> None:
    for blob in (images.EMPTY_CONFIG, LAYER):
        push_blob(registry, repository, blob)
    for content in contents:
        push_manifest(registry, repository, content)


def delete(registry: Registry, content: bytes) -> None:
    registry.deletion.manifest("a", digest_of(content))


def code(attempt: Callable[[], Any]) -> str:
    """What the client is told: a code, or "" where it is done."""
    try:
        attempt()
    except RegistryError as error:
        return error.descriptor.code
    return ""


def mounted(registry: Registry, source: str) -> bool:
    return registry.blobs.mount("b", LAYER_DIGEST, source, lambda name: True) is not None


def state(stores: Stores) -> str:
    key = Key(DeletedLink, LAYER_DIGEST, "a")
    link = stores.metadata.read([key])[key]
    return link.state if link else ""


def collect(registry: Registry, clock: FakeClock, waits: GracePeriods = GracePeriods()) -> None:  # noqa: B008  # it is frozen
    report = Collector(registry, waits, clock=clock).run()
    assert report is not None
    assert report.finished


def test_a_layer_of_deleted_manifests_is_visible_to_no_client(registry: Registry, stores: Stores) -> None:
    push(registry, ONE, TWO)
    delete(registry, ONE)
    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER, "another manifest names it"

    delete(registry, TWO)

    assert code(lambda: registry.blobs.get("a", LAYER_DIGEST)) == "BLOB_UNKNOWN"
    assert code(lambda: registry.blobs.get("a", LAYER_DIGEST, for_reuse=True)) == "BLOB_UNKNOWN"
    assert code(lambda: registry.blobs.delete("a", LAYER_DIGEST)) == "BLOB_UNKNOWN"
    assert not mounted(registry, "a")
    assert not mounted(registry, "")
    assert_intact(Snapshot(stores, ["a", "b"]))


def test_all_that_goes_at_once_hides_what_it_shares(registry: Registry, stores: Stores) -> None:
    push(registry, ONE, TWO)

    registry.deletion.repository("a")

    assert code(lambda: registry.blobs.get("a", LAYER_DIGEST)) == "BLOB_UNKNOWN"
    assert_intact(Snapshot(stores, ["a"]))


def test_the_bytes_of_a_large_manifest_go_with_it(registry: Registry) -> None:
    large = images.manifest([LAYER], annotations={"n": "x" * 600_000})
    push(registry, large)
    assert pull_blob(registry, "a", digest_of(large)) == large

    delete(registry, large)
    assert code(lambda: registry.blobs.get("a", digest_of(large))) == "BLOB_UNKNOWN"

    registry.undelete.manifest("a", digest_of(large))
    assert registry.manifests.content(registry.manifests.find("a", digest_of(large))) == large
    assert pull_blob(registry, "a", digest_of(large)) == large


def test_undelete_shows_it_again(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push(registry, ONE)
    delete(registry, ONE)
    clock.advance(days=6)
    collect(registry, clock)

    registry.undelete.manifest("a", digest_of(ONE))

    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER
    assert mounted(registry, "a")
    assert stores.metadata.find(Query(DeletedLink, repository="a", limit=9)) == []
    assert_intact(Snapshot(stores, ["a", "b"]))


@pytest.mark.parametrize("how", ["push", "mount"])
def test_a_push_or_mount_shows_it_again(how: str, registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push(registry, ONE)
    push(registry, ONE, repository="b")
    delete(registry, ONE)

    if how == "push":
        push_blob(registry, "a", LAYER)
    else:
        assert registry.blobs.mount("a", LAYER_DIGEST, "b", lambda name: True)

    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER
    clock.advance(hours=23)
    collect(registry, clock)
    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER, "a client that pushed it has a day to name it"
    clock.advance(hours=2)
    collect(registry, clock)
    assert code(lambda: registry.blobs.get("a", LAYER_DIGEST)) == "BLOB_UNKNOWN"
    registry.undelete.manifest("a", digest_of(ONE))
    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER
    assert_intact(Snapshot(stores, ["a", "b"]))


@pytest.mark.parametrize("forget", [False, True])
def test_a_manifest_may_name_it_for_an_hour(forget: bool, registry: Registry, stores: Stores, clock: FakeClock) -> None:
    """A client that was told that the layer is there needs no more than that to push the manifest."""
    push(registry, ONE)
    delete(registry, ONE)
    if forget:
        for thing in list(registry.undelete.tombstones("a")):
            registry.undelete.purge(thing)
        assert state(stores) == HIDDEN_UNVERIFIED
    clock.advance(hours=1)
    clock.time -= timedelta(microseconds=1)
    collect(registry, clock)

    push_manifest(registry, "a", TWO)

    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER
    assert state(stores) == ""
    assert_intact(Snapshot(stores, ["a"]))
    delete(registry, TWO)
    clock.advance(hours=1)
    assert code(lambda: push_manifest(registry, "a", TWO)) == "MANIFEST_BLOB_UNKNOWN"
    assert state(stores) == HIDDEN


def test_pushing_the_same_manifest_within_the_hour_leaves_nothing_hidden(registry: Registry, stores: Stores) -> None:
    push(registry, ONE)
    delete(registry, ONE)
    push_blob(registry, "a", LAYER)

    push_manifest(registry, "a", ONE)

    assert stores.metadata.find(Query(DeletedLink, repository="a", limit=9)) == []
    assert stores.metadata.find(Query(DeletedManifest, repository="a", limit=9)) == []
    assert_intact(Snapshot(stores, ["a"]))


def test_for_good_waits_for_that_hour(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push(registry, ONE)
    delete(registry, ONE)
    clock.advance(minutes=40)
    for thing in list(registry.undelete.tombstones("a")):
        registry.undelete.purge(thing)
    clock.advance(minutes=19)
    collect(registry, clock)
    assert state(stores) == HIDDEN_UNVERIFIED

    clock.advance(minutes=1)
    for _ in range(3):
        collect(registry, clock)
        clock.advance(hours=2)

    assert_no_garbage(Snapshot(stores, ["a"]))
    assert stores.blobs.names("", limit=9) == []


def test_what_another_deleted_manifest_names_stays_hidden(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    push(registry, ONE, TWO)
    delete(registry, ONE)
    delete(registry, TWO)
    (one,) = [thing for thing in registry.undelete.tombstones("a") if thing.id == digest_of(ONE)]
    registry.undelete.purge(one)
    clock.advance(hours=2)

    collect(registry, clock)

    assert state(stores) == HIDDEN
    registry.undelete.manifest("a", digest_of(TWO))
    assert pull_blob(registry, "a", LAYER_DIGEST) == LAYER


def test_of_two_deletes_at_once_one_hides_the_shared_layer(stores: Stores, clock: FakeClock) -> None:
    """Wherever the one comes in the middle of the other, not both see the other's manifest."""
    calls = 0
    for point in range(12):
        repository = f"r{point}"
        plain = Registry(stores.blobs, stores.metadata, clock=clock)
        push(plain, ONE, TWO, repository=repository)
        between = InterleavingStore(
            stores.metadata,
            point,
            lambda plain=plain, name=repository: plain.deletion.manifest(name, digest_of(TWO)),  # type: ignore[misc]
        )

        Registry(stores.blobs, between, clock=clock).deletion.manifest(repository, digest_of(ONE))

        calls = between.calls
        if calls <= point:
            break
        assert stores.metadata.find(Query(Link, repository=repository, limit=9)) == []
    assert calls > 5


def test_a_put_that_saw_the_link_before_the_delete_shows_it(stores: Stores, clock: FakeClock) -> None:
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    push(plain, ONE)
    # Between the reading of the put and its commit.
    between = InterleavingStore(stores.metadata, 1, lambda: delete(plain, ONE))

    push_manifest(Registry(stores.blobs, between, clock=clock), "a", TWO)

    assert between.calls == 5, "the put has read again, and then what is hidden"
    assert pull_blob(plain, "a", LAYER_DIGEST) == LAYER
    assert_intact(Snapshot(stores, ["a"]))


def test_an_image_of_many_layers_hides_them_all(registry: Registry, stores: Stores) -> None:
    manifest: Manifest = push_image(registry, "a", layers=40)

    registry.deletion.manifest("a", manifest.digest)

    assert {link.id for link in stores.metadata.find(Query(DeletedLink, repository="a", limit=99))} == set(
        manifest.blobs
    )
    registry.undelete.manifest("a", manifest.digest)
    assert {link.id for link in stores.metadata.find(Query(Link, repository="a", limit=99))} == set(manifest.blobs)
