"""Deletions that are large, or long: in bounded memory, in commits of bounded size, and to their end."""

import tracemalloc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lading.registry.lifecycle import delete
from lading.registry.registry import Registry
from lading_storage.errors import TooLarge
from lading_storage.protocols import Write
from lading_storage.query import Query
from lading_storage.records.core import Key, Link, Manifest, Repository
from lading_storage.records.deleted import DeletedLink
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact
from tests.support.operations import NO_GRACE, collect
from tests.support.registry_pushes import push_blob, push_image, push_manifest

CHILDREN = 100
LARGE = 450_000
"""Bytes of a child: all together more than twice what may be in memory."""

MAX_PEAK_MEMORY = 20 * 1024 * 1024


class WriteLimitStore(InterleavingStore):
    """Takes commits of few writes."""

    max_writes = 30

    def commit(self, writes: Sequence[Write]) -> None:
        if len(writes) > self.max_writes:
            raise TooLarge(f"{len(writes)} writes")
        super().commit(writes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def peak(act: Callable[[], Any]) -> int:
    """Return the most bytes that Python had more than before."""
    tracemalloc.start()
    try:
        act()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_large_children_are_never_all_in_memory(registry: Registry, stores: Stores) -> None:
    push_blob(registry, "a", images.EMPTY_CONFIG)
    contents = [images.manifest([], annotations={"n": f"{number}{'x' * LARGE}"}) for number in range(CHILDREN)]
    digests = [push_manifest(registry, "a", content).digest for content in contents]
    index = images.index(contents)
    contents.clear()

    assert peak(lambda: push_manifest(registry, "a", index, "v1", "v2")) < MAX_PEAK_MEMORY
    digest = registry.manifests.find("a", "v1").digest
    push_manifest(registry, "a", images.manifest([]), "v1")
    assert peak(lambda: registry.rollback.to_digest("a", "v1", digest)) < MAX_PEAK_MEMORY
    assert peak(lambda: registry.deletion.repository("a")) < MAX_PEAK_MEMORY
    assert stores.metadata.find(Query(Manifest, repository="a", limit=1)) == []
    assert peak(lambda: registry.undelete.repository("a")) < MAX_PEAK_MEMORY
    assert registry.manifests.find("a", "v1").digest == digest
    assert all(registry.manifests.find("a", child) for child in digests)


def test_a_manifest_with_more_layers_than_one_commit_hides(stores: Stores, clock: FakeClock) -> None:
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    image = push_image(plain, "a", "v1", layers=60)
    small = WriteLimitStore(stores.metadata)

    Registry(stores.blobs, small, clock=clock).deletion.manifest("a", image.digest)

    assert stores.metadata.find(Query(Link, repository="a", limit=99)) == []
    assert {link.id for link in stores.metadata.find(Query(DeletedLink, repository="a", limit=99))} == set(image.blobs)
    assert_intact(Snapshot(stores, ["a"]))
    plain.undelete.manifest("a", image.digest)
    assert_intact(Snapshot(stores, ["a"]))


def test_a_large_manifest_pushed_again_before_its_links_are_hidden_keeps_them(
    stores: Stores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WriteLimitStore, "max_writes", 10)  # as many commits for 20 layers as 30 makes of 60
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    image = push_image(plain, "a", layers=20)
    calls = WriteLimitStore(stores.metadata)
    Registry(stores.blobs, calls, clock=clock).deletion.manifest("a", image.digest)
    for point in range(calls.calls - 20, calls.calls):
        push_manifest(plain, "a", image.content or b"")
        small = WriteLimitStore(stores.metadata, point, lambda: push_manifest(plain, "a", image.content or b""))

        Registry(stores.blobs, small, clock=clock).deletion.manifest("a", image.digest)

        assert_intact(Snapshot(stores, ["a"]))


def test_what_is_too_large_for_one_commit_is_deleted_in_several(stores: Stores, clock: FakeClock) -> None:
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    for number in range(12):
        push_image(plain, "a", f"v{number}", layers=2)

    Registry(stores.blobs, WriteLimitStore(stores.metadata), clock=clock).deletion.repository("a")

    assert stores.metadata.find(Query(Manifest, repository="a", limit=9)) == []
    assert_intact(Snapshot(stores, ["a"]))
    assert plain.undelete.repository("a") == 12


def test_a_repository_whose_deletion_takes_hours_is_gone_at_its_end(
    stores: Stores, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collection beside it finds that something lives still, and lists the repository meanwhile."""
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", 2)
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    for _ in range(9):
        push_image(plain, "a")
    listed: list[str] = []

    def finish() -> None:
        clock.advance(hours=2)
        collect(plain, NO_GRACE, clock, ["repositories"])
        listed.extend(plain.repositories("", 9).items)

    Registry(stores.blobs, InterleavingStore(stores.metadata, 20, finish), clock=clock).deletion.repository("a")

    assert listed == ["a"]
    assert plain.repositories("", 9).items == []
    record = stores.metadata.read([Key(Repository, "a")])[Key(Repository, "a")]
    assert record is not None
    assert record.deleted is not None


def test_a_push_at_the_end_of_a_deletion_keeps_the_repository_listed(stores: Stores, clock: FakeClock) -> None:
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    calls = 0
    for point in range(60):
        name = f"r{point}"
        push_image(plain, name, "v1")
        between = InterleavingStore(stores.metadata, point, lambda name=name: push_image(plain, name, "v2"))  # type: ignore[misc]
        Registry(stores.blobs, between, clock=clock).deletion.repository(name)
        if between.calls <= point:
            break
        calls = point
        lives = bool(stores.metadata.find(Query(Manifest, repository=name, limit=1)))
        assert (name in plain.repositories("", 99).items) == lives, f"pushed before call {point}"
    assert calls > 10


def test_a_deletion_tells_how_far_it_is(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete, "MAX_BATCH_TAGS", 2)
    push_image(registry, "a", "v1", "v2", "v3")
    told: list[tuple[str, int, int]] = []

    registry.deletion.repository("a", progress=lambda *each: told.append(each))

    assert told == [("tags", 2, 3), ("tags", 3, 3), ("tags", 3, 3), ("manifests", 1, 0)]
