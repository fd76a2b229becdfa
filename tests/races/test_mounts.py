"""Many mounts of one base layer at once, and a mount beside a collection and a new push."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from lading.registry.registry import Registry
from lading_storage.protocols import Replace
from lading_storage.records.core import Blob, Key, Link
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact
from tests.support.operations import NO_GRACE, collect
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest
from tests.support.store_hooks import Killed

MOUNTS = 300


def any_repository(repository: str) -> bool:
    return True


def test_hundreds_of_mounts_of_one_layer_are_not_refused(registry: Registry) -> None:
    base = images.blob()
    layer = push_blob(registry, "base", base)
    push_blob(registry, "base", images.EMPTY_CONFIG)
    push_manifest(registry, "base", images.manifest([base]), "v1")
    begin = threading.Barrier(MOUNTS)

    def mount(number: int) -> Link | None:
        begin.wait()
        return registry.blobs.mount(f"r{number}", layer.id, "base", any_repository)

    with ThreadPoolExecutor(MOUNTS) as pool:
        mounted = list(pool.map(mount, range(MOUNTS)))

    assert [number for number, link in enumerate(mounted) if link is None] == []
    assert all(link and link.object == layer.object for link in mounted)
    assert pull_blob(registry, f"r{MOUNTS - 1}", layer.id) == base


def test_a_mount_writes_no_blob(registry: Registry, stores: Stores) -> None:
    key = Key(Blob, push_image(registry, "a", "v1").blobs[0])
    before = stores.metadata.read([key])[key]

    assert registry.blobs.mount("b", key.id, "a", any_repository)

    after = stores.metadata.read([key])[key]
    assert before is not None
    assert after is not None
    assert after.version == before.version


@pytest.mark.parametrize("point", range(5))
def test_a_mount_leads_to_the_blob_that_is_there(stores: Stores, point: int) -> None:
    """Between any two of its calls, the origin is collected and pushed anew."""
    clock, content = FakeClock(), images.blob()
    there = Registry(stores.blobs, stores.metadata, clock=clock)
    for repository in ("a", "b"):
        push_image(there, repository, "v1")
    layer = push_blob(there, "a", content)

    def renew() -> None:
        for _ in range(2):
            collect(there, NO_GRACE, clock, ("links", "condemned", "blobs", "objects"))
        push_blob(there, "a", content)

    between = InterleavingStore(stores.metadata, point, renew)
    Registry(stores.blobs, between, clock=clock).blobs.mount("b", layer.id, "a", any_repository)

    assert_intact(Snapshot(stores, ["a", "b"]))
    assert pull_blob(there, "a", layer.id) == content


@pytest.mark.parametrize("put_back", ["push", "mount"])
def test_a_link_of_a_mount_that_was_killed_before_it_was_corrected(stores: Stores, put_back: str) -> None:
    """It leads to an object that is gone, until the blob is pushed or mounted again."""
    clock, content = FakeClock(), images.blob()
    there = Registry(stores.blobs, stores.metadata, clock=clock)
    push_image(there, "b", "v1")
    layer = push_blob(there, "a", content)

    def renew() -> None:
        for _ in range(2):
            collect(there, NO_GRACE, clock, ("links", "condemned", "blobs", "objects"))
        push_blob(there, "a", content)

    def kill() -> None:
        raise Killed

    # Reads the origin, reads again, commits, and would look at the blob.
    between = InterleavingStore(InterleavingStore(stores.metadata, 2, renew), 3, kill)
    with pytest.raises(Killed):
        Registry(stores.blobs, between, clock=clock).blobs.mount("b", layer.id, "a", any_repository)
    key = Key(Link, layer.id, "b")
    stale, origin = stores.metadata.read([key])[key], there.blobs.get("a", layer.id)
    assert stale is not None
    assert stale.object == layer.object != origin.object

    if put_back == "push":
        push_blob(there, "b", content)
    else:
        assert there.blobs.mount("b", layer.id, "a", any_repository)

    assert pull_blob(there, "b", layer.id) == pull_blob(there, "a", layer.id) == content
    assert_intact(Snapshot(stores, ["a", "b"]))


@pytest.mark.parametrize("point", range(4))
def test_a_mount_beside_a_scrub_that_marks_the_blob(stores: Stores, point: int) -> None:
    clock, content = FakeClock(), images.blob()
    there = Registry(stores.blobs, stores.metadata, clock=clock)
    layer = push_blob(there, "a", content)
    key = Key(Blob, layer.id)

    def mark() -> None:
        blob = stores.metadata.read([key])[key]
        assert blob is not None
        stores.metadata.commit([Replace(replace(blob, damaged="missing"))])

    mounted = Registry(stores.blobs, InterleavingStore(stores.metadata, point, mark), clock=clock).blobs.mount(
        "b", layer.id, "a", any_repository
    )

    made = Key(Link, layer.id, "b")
    link = stores.metadata.read([made])[made]
    assert mounted is None, "the client pushes it"
    assert link is None or link.damaged
