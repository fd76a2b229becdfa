"""What is deleted is gone for every client at once, and comes back whole for as long as it is kept."""

from dataclasses import replace
from typing import Any

import pytest

from lading.registry.errors import RegistryError
from lading.registry.events.outbox import MICROSECOND
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.query import Query
from lading_storage.records.core import HIDDEN_UNVERIFIED, Key, Manifest
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["*:keep-*"])), clock)


def gone(registry: Registry, repository: str, reference: str) -> bool:
    try:
        registry.manifests.find(repository, reference)
    except RegistryError as error:
        return error.descriptor.code == "MANIFEST_UNKNOWN"
    return False


def refused(attempt: Any) -> RegistryError:
    with pytest.raises(RegistryError) as error:
        attempt()
    return error.value


def referring(registry: Registry, repository: str, subject: bytes, *tags: str, **fields: Any) -> Manifest:
    push_blob(registry, repository, images.EMPTY_CONFIG)
    content = images.manifest([], subject=images.descriptor(subject), **fields)
    return push_manifest(registry, repository, content, *tags)


def test_a_tag_comes_back(registry: Registry, clock: FakeClock) -> None:
    manifest = push_image(registry, "a", "v1", "v2")
    registry.tags.delete("a", "v1")
    assert gone(registry, "a", "v1")
    assert registry.tags.names("a", "", 10).items == ["v2"]
    (deleted,) = registry.undelete.tombstones("a")
    assert (type(deleted), deleted.id, deleted.deleted) == (DeletedTag, "v1", clock.time)

    registry.undelete.tag("a", "v1")

    assert registry.manifests.content(registry.manifests.find("a", "v1")) == manifest.content
    assert [row.action for row in registry.tags.history("a", "v1", "", 9).items] == ["restore", "delete", "push"]
    assert list(registry.undelete.tombstones("a")) == []
    assert refused(lambda: registry.undelete.tag("a", "v1")).descriptor.status == 404


def test_a_tag_that_exists_again_is_overwritten_only_by_force(registry: Registry) -> None:
    first = push_image(registry, "a", "v1")
    registry.tags.delete("a", "v1")
    second = push_image(registry, "a", "v1")

    assert refused(lambda: registry.undelete.tag("a", "v1")).detail == {"tag": "v1", "digest": second.digest}
    assert registry.manifests.find("a", "v1").digest == second.digest
    registry.undelete.tag("a", "v1", force=True)
    assert registry.manifests.find("a", "v1").digest == first.digest


def test_a_manifest_comes_back_with_its_tags(registry: Registry, clock: FakeClock) -> None:
    manifest = push_image(registry, "a", "v1", "v2", layers=2)
    other = push_image(registry, "a", "other")
    registry.deletion.manifest("a", manifest.digest)
    assert all(gone(registry, "a", reference) for reference in (manifest.digest, "v1", "v2"))
    push_manifest(registry, "a", other.content or b"", "v2")

    assert registry.undelete.manifest("a", manifest.digest) == [manifest.digest]

    assert registry.manifests.find("a", manifest.digest) == replace(
        # The clock stands still; its events do not.
        manifest,
        restored=clock.time,
        stamp=clock.time + 2 * MICROSECOND,
    )
    assert registry.manifests.find("a", "v1").digest == manifest.digest
    assert registry.manifests.find("a", "v2").digest == other.digest, "a tag that names another one by now stays"
    assert all(digest_of(pull_blob(registry, "a", blob)) == blob for blob in manifest.blobs)


def test_an_index_comes_back_with_its_children(registry: Registry) -> None:
    children = [push_image(registry, "a") for _ in range(3)]
    inner = push_manifest(registry, "a", images.index([child.content or b"" for child in children[:2]]))
    outer = push_manifest(registry, "a", images.index([inner.content or b"", children[2].content or b""]), "multi")
    assert inner.digest in str(refused(lambda: registry.deletion.manifest("a", children[0].digest)).detail)
    for manifest in (outer, inner, *children):
        registry.deletion.manifest("a", manifest.digest)

    restored = registry.undelete.manifest("a", outer.digest)

    assert set(restored) == {each.digest for each in (outer, inner, *children)}
    assert restored.index(inner.digest) < restored.index(outer.digest)
    assert registry.manifests.find("a", "multi").digest == outer.digest


def test_referrers_go_and_come_back_with_their_subject(registry: Registry) -> None:
    subject = push_image(registry, "a", "v1")
    content = subject.content or b""
    signature = referring(registry, "a", content, annotations={"n": "1"})
    of_signature = referring(registry, "a", signature.content or b"", annotations={"n": "2"})
    cosign = push_image(registry, "a", f"sha256-{subject.digest.removeprefix('sha256:')}.sig")
    tagged = referring(registry, "a", content, "by-itself", annotations={"n": "3"})
    unrelated = push_image(registry, "a")
    earlier = referring(registry, "a", content, annotations={"n": "4"})
    registry.deletion.manifest("a", earlier.digest)

    registry.deletion.manifest("a", subject.digest)

    went = (subject, signature, of_signature, cosign)
    assert all(gone(registry, "a", each.digest) for each in went)
    assert not any(gone(registry, "a", each.digest) for each in (tagged, unrelated))
    assert [each.manifest.id for each in registry.manifests.referrers("a", subject.digest, "", "").items] == [tagged.id]

    registry.undelete.manifest("a", subject.digest)

    assert not any(gone(registry, "a", each.digest) for each in went)
    assert gone(registry, "a", earlier.digest), "what was deleted by itself does not come back with it"
    assert registry.manifests.find("a", f"sha256-{subject.digest.removeprefix('sha256:')}.sig").digest == cosign.digest


def test_a_digest_that_an_immutable_tag_names_stays(registry: Registry) -> None:
    manifest = push_image(registry, "a", "keep-1", "other")
    signature = referring(registry, "a", manifest.content or b"")

    error = refused(lambda: registry.deletion.manifest("a", manifest.digest))

    assert error.detail == {"tag": "keep-1", "rule": "*:keep-*"}
    assert not any(gone(registry, "a", each) for each in (manifest.digest, signature.digest, "other"))


def test_pushing_a_deleted_digest_again_removes_its_tombstone(registry: Registry, stores: Stores) -> None:
    manifest = push_image(registry, "a", "v1")
    registry.deletion.manifest("a", manifest.digest)

    push_manifest(registry, "a", manifest.content or b"")

    assert not gone(registry, "a", manifest.digest)
    assert [type(thing) for thing in registry.undelete.tombstones("a")] == [DeletedTag]
    assert registry.undelete.manifest("a", manifest.digest) == [], "only the tag that went with it is left"
    assert registry.manifests.find("a", "v1").digest == manifest.digest
    assert refused(lambda: registry.undelete.manifest("a", manifest.digest)).descriptor.status == 404


def test_a_blob_that_was_deleted_comes_back_with_its_manifest(registry: Registry, stores: Stores) -> None:
    manifest = push_image(registry, "a", "v1")
    registry.deletion.manifest("a", manifest.digest)
    push_blob(registry, "a", images.EMPTY_CONFIG)
    registry.blobs.delete("a", digest_of(images.EMPTY_CONFIG))
    for blob in manifest.blobs:
        assert refused(lambda blob=blob: registry.blobs.get("a", blob)).descriptor.code == "BLOB_UNKNOWN"
        assert refused(lambda blob=blob: registry.blobs.delete("a", blob)).descriptor.code == "BLOB_UNKNOWN"

    registry.undelete.manifest("a", manifest.digest)

    assert all(digest_of(pull_blob(registry, "a", blob)) == blob for blob in manifest.blobs)
    keys = [Key(DeletedLink, blob, "a") for blob in manifest.blobs]
    assert all(stores.metadata.read(keys)[key] is None for key in keys)


def test_a_repository_comes_back_as_a_whole(registry: Registry) -> None:
    one, two = push_image(registry, "a/b", "v1", "v2"), push_image(registry, "a/b")
    index = push_manifest(registry, "a/b", images.index([one.content or b"", two.content or b""]), "multi")
    by_itself = push_image(registry, "a/b", "earlier")
    registry.deletion.manifest("a/b", by_itself.digest)
    push_image(registry, "c", "v1")

    registry.deletion.repository("a/b")

    assert registry.repositories("", 10).items == ["c"]
    assert refused(lambda: registry.tags.names("a/b", "", 10)).descriptor.code == "NAME_UNKNOWN"
    assert all(gone(registry, "a/b", each.digest) for each in (one, two, index))

    assert registry.undelete.repository("a/b") == 3

    assert registry.repositories("", 10).items == ["a/b", "c"]
    assert registry.tags.names("a/b", "", 10).items == ["multi", "v1", "v2"]
    assert gone(registry, "a/b", by_itself.digest)
    assert refused(lambda: registry.deletion.repository("absent")).descriptor.code == "NAME_UNKNOWN"


def test_a_push_makes_a_deleted_repository_live(registry: Registry) -> None:
    push_image(registry, "a", "v1")
    registry.deletion.repository("a")

    push_image(registry, "a", "v2")

    assert registry.repositories("", 10).items == ["a"]
    assert registry.tags.names("a", "", 10).items == ["v2"]
    registry.undelete.repository("a")
    assert registry.tags.names("a", "", 10).items == ["v1", "v2"]


def test_what_is_forgotten_is_gone_for_good(registry: Registry, stores: Stores) -> None:
    manifest = push_image(registry, "a", "v1")
    registry.deletion.manifest("a", manifest.digest)

    for thing in list(registry.undelete.tombstones("a")):
        registry.undelete.purge(thing)

    assert list(registry.undelete.tombstones("a")) == []
    assert refused(lambda: registry.undelete.manifest("a", manifest.digest)).descriptor.status == 404
    states = {link.state for link in stores.metadata.find(Query(DeletedLink, repository="a", limit=9))}
    assert states == {HIDDEN_UNVERIFIED}, "collection will see that nobody names them"


def test_more_tags_than_one_commit_takes_go_with_their_manifest(registry: Registry, stores: Stores) -> None:
    names = [f"t{number:03}" for number in range(130)]
    manifest = push_image(registry, "a", *names)

    registry.deletion.manifest("a", manifest.digest)

    assert registry.tags.names("a", "", 200).items == []
    registry.undelete.manifest("a", manifest.digest)
    assert registry.tags.names("a", "", 200).items == names
    assert stores.metadata.find(Query(DeletedManifest, repository="a", limit=9)) == []


def test_tags_are_restored_although_the_deletion_of_the_repository_was_interrupted_after_them(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    push_image(registry, "a", "v1", "v2")

    def stop(*_: Any) -> bool:
        raise Unavailable("stopped")

    monkeypatch.setattr(registry.deletion, "_delete_unreferenced_manifests", stop)
    with pytest.raises(Unavailable):
        registry.deletion.repository("a")
    assert gone(registry, "a", "v1")

    registry.undelete.repository("a")

    assert registry.tags.names("a", "", 10).items == ["v1", "v2"]
    assert registry.repositories("", 10).items == ["a"]
