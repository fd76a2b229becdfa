"""What was lost or damaged is whole again for all when it is pushed again, also after a kill."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lading.registry.content.uploads import Body
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE, Replace
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Link
from lading_storage.records.deleted import DeletedManifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.object_damage import DAMAGES, FOUND_BY_PUSH, collect, damage, scrub
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest

LARGE = {"filler": "x" * MAX_CONTENT_SIZE}
"""Annotations by which a manifest is kept as an object."""


def refused(attempt: Callable[[], Any]) -> RegistryError:
    with pytest.raises(RegistryError) as error:
        attempt()
    return error.value


def lacking(attempt: Callable[[], Any]) -> set[str]:
    """The digests by which `attempt` is refused."""
    error = refused(attempt)
    assert error.descriptor.code == "MANIFEST_BLOB_UNKNOWN"
    return {each["digest"] for each in error.detail}


def is_hidden(registry: Registry, repository: str, digest: str) -> bool:
    """Whether neither HEAD, GET nor mount finds a blob."""
    told = [_told(registry, repository, digest, to_stay) for to_stay in (False, True)]
    return told == ["BLOB_UNKNOWN"] * 2 and _mount(registry, repository, digest) is None


def _told(registry: Registry, repository: str, digest: str, to_stay: bool) -> str:
    try:
        registry.blobs.get(repository, digest, for_reuse=to_stay)
    except RegistryError as error:
        return error.descriptor.code
    return ""


def _mount(registry: Registry, source: str, digest: str) -> Link | None:
    return registry.blobs.mount("elsewhere", digest, source, lambda name: True)


def push_in_chunks(registry: Registry, repository: str, content: bytes) -> Link:
    """Push a blob as two objects, which are joined."""
    upload = registry.uploads.start(repository)
    registry.uploads.append(repository, upload.id, Body([content[:40]]))
    registry.uploads.append(repository, upload.id, Body([content[40:]]))
    return registry.uploads.finish(repository, upload.id, digest_of(content), Body(()))


@pytest.mark.parametrize("push", [push_blob, push_in_chunks])
@pytest.mark.parametrize("how", FOUND_BY_PUSH)
def test_a_push_puts_back_what_is_lost(
    registry: Registry, stores: Stores, how: str, push: Callable[[Registry, str, bytes], Link]
) -> None:
    content = images.blob()
    link = push_blob(registry, "a", content)
    damage(stores.blobs, link.object, content, how)

    assert push(registry, "b", content).object == link.object

    assert pull_blob(registry, "a", link.id) == pull_blob(registry, "b", link.id) == content
    assert stores.blobs.names("", limit=9) == [link.object]
    assert scrub(registry) == []


@pytest.mark.parametrize("how", DAMAGES)
def test_what_scrub_marked_is_not_there_until_it_is_pushed_again(registry: Registry, stores: Stores, how: str) -> None:
    content, other = images.blob(), images.blob()
    image = images.manifest([content, other])
    for each in (images.EMPTY_CONFIG, content, other):
        push_blob(registry, "a", each)
    push_image(registry, "b", "v1")
    link = registry.blobs.mount("b", digest_of(content), "a", lambda name: True)
    assert link is not None
    damage(stores.blobs, link.object, content, how)

    assert len(scrub(registry)) == 1

    assert is_hidden(registry, "a", link.id)
    assert is_hidden(registry, "b", link.id)
    assert registry.blobs.mount("elsewhere", link.id, "", lambda name: True) is None
    assert lacking(lambda: push_manifest(registry, "a", image)) == {link.id}
    assert pull_blob(registry, "a", digest_of(other)) == other
    assert len(scrub(registry)) == 1, "it stays marked"

    push_blob(registry, "a", content)

    # The other repository's link may still hint at the mark, which has gone.
    assert pull_blob(registry, "a", link.id) == pull_blob(registry, "b", link.id) == content
    assert registry.blobs.mount("c", link.id, "b", lambda name: True) is not None
    push_manifest(registry, "a", image)
    assert scrub(registry) == []
    links = stores.metadata.find(Query(Link, {"id": link.id}, repository=None, limit=9))
    assert [each.damaged for each in links] == [False, False, False]


def test_collection_and_naming_leave_the_mark(registry: Registry, stores: Stores) -> None:
    image = push_image(registry, "a", "v1")
    digest = image.blobs[-1]
    damage(stores.blobs, registry.blobs.get("a", digest).object, b"x", "missing")
    scrub(registry)

    collect(registry)
    push_manifest(registry, "a", images.manifest([]), "v2")
    registry.tags.delete("a", "v1")
    collect(registry)

    assert is_hidden(registry, "a", digest)
    blob = stores.metadata.read([Key(Blob, digest)])[Key(Blob, digest)]
    assert blob is not None
    assert blob.damaged == "missing"


def test_what_is_good_again_is_there_again(registry: Registry, stores: Stores) -> None:
    content = images.blob()
    link = push_blob(registry, "a", content)
    damage(stores.blobs, link.object, content, "missing")
    assert len(scrub(registry)) == 1
    # From a backup of the disk.
    stores.blobs.append(link.object, [content])

    assert scrub(registry) == []

    assert pull_blob(registry, "a", link.id) == content
    assert not registry.blobs.get("a", link.id).damaged


@pytest.mark.parametrize("damaged", [True, False])
def test_a_hint_that_is_wrong_decides_nothing_and_is_put_right(
    registry: Registry, stores: Stores, damaged: bool
) -> None:
    """As where a scrub was killed between the blob and its links."""
    image = push_image(registry, "a", "v1")
    digest = image.blobs[-1]
    key = Key(Link, digest, "a")
    link = registry.blobs.get("a", digest)
    if damaged:
        damage(stores.blobs, link.object, b"x", "missing")
        scrub(registry)
    current = stores.metadata.read([key])[key]
    assert current is not None
    stores.metadata.commit([Replace(replace(current, damaged=not damaged))])

    if not damaged:
        assert registry.blobs.get("a", digest).damaged, "a hint, and no more"
    assert len(scrub(registry)) == damaged

    put_right = stores.metadata.read([key])[key]
    assert put_right is not None
    assert put_right.damaged == damaged


def test_a_marked_blob_can_be_deleted(registry: Registry, stores: Stores) -> None:
    content = images.blob()
    link = push_blob(registry, "a", content)
    damage(stores.blobs, link.object, content, "cut")
    scrub(registry)

    registry.blobs.delete("a", link.id)
    collect(registry)

    assert stores.blobs.names("", limit=9) == []
    assert pull_blob(registry, "a", push_blob(registry, "a", content).id) == content


@pytest.mark.parametrize("how", DAMAGES)
def test_a_large_manifest_whose_bytes_are_lost_is_pushed_again(registry: Registry, stores: Stores, how: str) -> None:
    push_blob(registry, "a", images.EMPTY_CONFIG)
    content = images.manifest([], annotations=LARGE)
    manifest = push_manifest(registry, "a", content, "v1")
    damage(stores.blobs, registry.manifests.find("a", manifest.digest).object, content, how)  # type: ignore[union-attr]
    scrub(registry)

    for reference in ("v1", manifest.digest):
        assert refused(lambda name=reference: registry.manifests.find("a", name)).descriptor.code == "MANIFEST_UNKNOWN"  # type: ignore[misc]
    index = images.index([content])
    assert lacking(lambda: push_manifest(registry, "a", index)) == {manifest.digest}

    push_manifest(registry, "a", content)

    for reference in ("v1", manifest.digest):
        assert registry.manifests.content(registry.manifests.find("a", reference)) == content
    push_manifest(registry, "a", index)
    assert scrub(registry) == []


def test_a_referrer_whose_bytes_are_lost_does_not_hide_the_others(registry: Registry, stores: Stores) -> None:
    subject = push_image(registry, "a", "v1")
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    small = push_manifest(registry, "a", images.manifest([], subject=about, annotations={"n": "small"}))
    large = push_manifest(registry, "a", images.manifest([], subject=about, annotations=LARGE))
    damage(stores.blobs, registry.manifests.find("a", large.digest).object, b"x", "missing")  # type: ignore[union-attr]

    listed = registry.manifests.referrers("a", subject.digest, "", "").items

    assert {each.manifest.digest: dict(each.annotations) for each in listed} == {
        small.digest: {"n": "small"},
        large.digest: {},
    }


def test_what_needs_a_marked_blob_is_not_restored_until_it_is_back(registry: Registry, stores: Stores) -> None:
    content = images.blob()
    for each in (images.EMPTY_CONFIG, content):
        push_blob(registry, "a", each)
    manifest = push_manifest(registry, "a", images.manifest([content]), "v1")
    damage(stores.blobs, registry.blobs.get("a", digest_of(content)).object, content, "flipped")
    registry.deletion.manifest("a", manifest.digest)
    scrub(registry)

    assert lacking(lambda: registry.undelete.manifest("a", manifest.digest)) == {digest_of(content)}
    key = Key(DeletedManifest, manifest.digest, "a")
    assert stores.metadata.read([key])[key] is not None
    push_blob(registry, "elsewhere", content)
    registry.undelete.manifest("a", manifest.digest)

    assert pull_blob(registry, "a", digest_of(content)) == content
    assert registry.manifests.find("a", "v1").digest == manifest.digest


def test_a_link_that_is_hidden_of_a_marked_blob_is_not_restored_until_it_is_back(
    registry: Registry, stores: Stores
) -> None:
    content = images.blob()
    for each in (images.EMPTY_CONFIG, content):
        push_blob(registry, "a", each)
    manifest = push_manifest(registry, "a", images.manifest([content]), "v1")
    damage(stores.blobs, registry.blobs.get("a", digest_of(content)).object, content, "missing")
    scrub(registry)
    registry.deletion.manifest("a", manifest.digest)

    assert lacking(lambda: registry.undelete.manifest("a", manifest.digest)) == {digest_of(content)}
    push_blob(registry, "elsewhere", content)
    registry.undelete.manifest("a", manifest.digest)

    assert pull_blob(registry, "a", digest_of(content)) == content
