"""What went by one cause comes back, or is forgotten, together; and nothing else does, whatever it is called."""

from dataclasses import replace
from typing import Any

import pytest

from lading.registry import deletion_causes
from lading.registry.errors import NOT_DELETED, RegistryError
from lading.registry.lifecycle import delete
from lading.registry.registry import Registry
from lading_storage.errors import Unavailable
from lading_storage.protocols import Replace
from lading_storage.records.core import Key, Manifest
from lading_storage.records.deleted import DeletedManifest, DeletedTag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact
from tests.support.registry_pushes import push_blob, push_image, push_manifest


@pytest.fixture
def registry(stores: Stores) -> Registry:
    return Registry(stores.blobs, stores.metadata, clock=FakeClock())


def signed(registry: Registry, count: int) -> tuple[Manifest, set[str]]:
    """Push an image, and so many signatures of it."""
    subject = push_image(registry, "a", "v1")
    push_blob(registry, "a", images.EMPTY_CONFIG)
    contents = [
        images.manifest([], subject=images.descriptor(subject.content or b""), annotations={"n": str(number)})
        for number in range(count)
    ]
    return subject, {push_manifest(registry, "a", content).digest for content in contents}


def live(registry: Registry) -> set[str]:
    return {node.digest for node in registry.inventory.nodes("a")}


def stopped(attempt: Any) -> None:
    with pytest.raises(Unavailable):
        attempt()


def stop() -> None:
    raise Unavailable("killed")


def test_forgetting_a_tag_forgets_nothing_of_a_repository_of_that_name(registry: Registry) -> None:
    image = push_image(registry, "a", "v1", "a")
    registry.deletion.repository("a")
    push_manifest(registry, "a", push_image(registry, "a").content or b"", "a")
    registry.tags.delete("a", "a")

    registry.undelete.purge_by_cause("a", deletion_causes.of_tag("a"))

    assert registry.undelete.repository("a") == 1
    assert image.digest in live(registry)


def test_undeleting_a_repository_leaves_a_tag_that_was_deleted_on_its_own(registry: Registry) -> None:
    push_image(registry, "a", "v1", "a")
    registry.tags.delete("a", "a")
    registry.deletion.repository("a")

    registry.undelete.repository("a")

    assert registry.tags.names("a", "", 9).items == ["v1"]
    registry.undelete.tag("a", "a")
    assert registry.tags.names("a", "", 9).items == ["a", "v1"]


def test_causes_of_an_older_release_are_taken_for_what_they_can_be(registry: Registry, stores: Stores) -> None:
    image = push_image(registry, "a", "v1", "a")
    registry.tags.delete("a", "a")
    registry.deletion.repository("a")
    for thing in registry.undelete.tombstones("a"):
        whole_thing = stores.metadata.read([thing.key])[thing.key]
        assert isinstance(whole_thing, DeletedManifest | DeletedTag)
        stores.metadata.commit([Replace(replace(whole_thing, cause=thing.cause.partition(":")[2]))])
    assert {thing.cause for thing in registry.undelete.tombstones("a")} == {"a"}

    assert registry.undelete.repository("a") == 1

    assert registry.tags.names("a", "", 9).items == ["v1"]
    assert live(registry) == {image.digest}
    assert deletion_causes.cause_of(next(registry.undelete.tombstones("a"))) == "tag:a"


def test_an_interrupted_delete_is_undone_though_the_manifest_lives(
    registry: Registry, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete, "MAX_BATCH_ITEMS", 20)
    subject, _ = signed(registry, 12)
    names = [f"t{number:02}" for number in range(12)]
    push_manifest(registry, "a", subject.content or b"", *names)
    everything = live(registry)
    calls, point = 1000, 0
    while point < calls:
        between = InterleavingStore(stores.metadata, point, stop)
        try:
            Registry(stores.blobs, between, clock=FakeClock()).deletion.manifest("a", subject.digest)
        except Unavailable:
            pass
        else:
            break
        assert_intact(Snapshot(stores, ["a"]))
        if point > 20 and len(live(registry)) < len(everything):
            assert subject.digest in live(registry), "the manifest itself goes last"
        if any(registry.undelete.tombstones("a")):
            registry.undelete.manifest("a", subject.digest)
        assert live(registry) == everything, f"stopped at {point}"
        assert registry.tags.names("a", "", 99).items == [*names, "v1"]
        assert not any(registry.undelete.tombstones("a"))
        point += 7
    assert point > 50
    assert live(registry) == set()
    registry.undelete.manifest("a", subject.digest)
    assert live(registry) == everything


def test_what_went_with_a_manifest_comes_back_though_that_was_pushed_again(registry: Registry) -> None:
    subject, signatures = signed(registry, 2)
    registry.deletion.manifest("a", subject.digest)
    push_manifest(registry, "a", subject.content or b"")

    assert set(registry.undelete.manifest("a", subject.digest)) == signatures

    assert live(registry) == {subject.digest, *signatures}
    assert registry.tags.names("a", "", 9).items == ["v1"]
    with pytest.raises(RegistryError):
        registry.undelete.manifest("a", subject.digest)


def test_forgetting_goes_on_after_a_lost_race(registry: Registry, stores: Stores) -> None:
    image = push_image(registry, "a", "v1")
    registry.deletion.manifest("a", image.digest)
    key = Key(DeletedManifest, image.digest, "a")

    def touch() -> None:
        thing = stores.metadata.read([key])[key]
        assert thing is not None
        stores.metadata.commit([Replace(thing)])

    # Behind the read of the thing, before the commit that forgets it.
    between = InterleavingStore(stores.metadata, 4, touch)
    Registry(stores.blobs, between).undelete.purge_by_cause("a", deletion_causes.of_manifest(image.digest))

    assert not any(registry.undelete.tombstones("a"))


def test_forgetting_leaves_what_an_index_needs_that_was_deleted_by_itself(registry: Registry, stores: Stores) -> None:
    child = push_image(registry, "a", "v1")
    index = push_manifest(registry, "a", images.index([child.content or b""]))
    registry.deletion.manifest("a", index.digest)
    registry.deletion.manifest("a", child.digest)

    registry.undelete.purge_by_cause("a", deletion_causes.of_manifest(child.digest))

    assert set(registry.undelete.manifest("a", index.digest)) == {child.digest, index.digest}
    assert_intact(Snapshot(stores, ["a"]))


def test_what_is_forgotten_meanwhile_does_not_count_as_restored(registry: Registry, stores: Stores) -> None:
    for point in range(3):
        image = push_image(registry, "a")
        registry.deletion.manifest("a", image.digest)
        between = InterleavingStore(
            stores.metadata,
            point,
            lambda digest=image.digest: registry.undelete.purge_by_cause("a", deletion_causes.of_manifest(digest)),  # type: ignore[misc]
        )
        with pytest.raises(RegistryError) as error:
            Registry(stores.blobs, between, clock=FakeClock()).undelete.manifest("a", image.digest)
        assert error.value.descriptor is NOT_DELETED
        assert image.digest not in live(registry)


def test_a_tag_that_is_taken_while_its_manifest_is_restored_stays(registry: Registry, stores: Stores) -> None:
    other = push_image(registry, "a")
    calls = 0
    for point in range(40):
        name = f"v{point}"
        image = push_image(registry, "a", name)
        registry.deletion.manifest("a", image.digest)

        def take(name: str = name) -> None:
            push_manifest(registry, "a", other.content or b"", name)

        between = InterleavingStore(stores.metadata, point, take)
        registry_between = Registry(stores.blobs, between, clock=FakeClock())
        assert registry_between.undelete.manifest("a", image.digest) == [image.digest]
        calls = between.calls
        if calls <= point:
            break
        assert registry.manifests.find("a", name).digest == other.digest
    assert calls > 8
    assert_intact(Snapshot(stores, ["a"]))
