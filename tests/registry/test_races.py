"""Many clients at once, on both pairs of stores: what is acknowledged stays."""

from functools import partial
from typing import Any

import pytest

from lading.registry.content.uploads import Body
from lading.registry.errors import RANGE_INVALID, RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.records.core import Key, Link, Manifest, Tag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.concurrency import run_concurrently
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest

ROUNDS = 15


def any_repository(repository: str) -> bool:
    return True


def is_there(stores: Stores, key: Key[Any]) -> bool:
    return stores.metadata.read([key])[key] is not None


def test_all_who_move_one_tag_succeed(registry: Registry) -> None:
    contents = [images.manifest([], annotations={"number": str(number)}) for number in range(32)]
    push_blob(registry, "a", images.EMPTY_CONFIG)

    results = run_concurrently(*(partial(push_manifest, registry, "a", content, "v1") for content in contents))

    assert [each for each in results if isinstance(each, RegistryError)] == []
    assert registry.manifests.find("a", "v1").digest in {digest_of(content) for content in contents}
    assert registry.tags.names("a", "", 10).items == ["v1"]


def test_of_two_that_append_at_one_offset_one_wins(registry: Registry) -> None:
    for _ in range(ROUNDS):
        upload = registry.uploads.start("a")
        chunks = [images.blob(3000) for _ in range(4)]

        results = run_concurrently(
            *(partial(registry.uploads.append, "a", upload.id, Body([chunk], None, 0)) for chunk in chunks)
        )

        winners = [number for number, each in enumerate(results) if not isinstance(each, RegistryError)]
        assert len(winners) == 1
        assert {each.descriptor for each in results if isinstance(each, RegistryError)} == {RANGE_INVALID}
        digest = digest_of(chunks[winners[0]])
        registry.uploads.finish("a", upload.id, digest, Body(()))
        assert pull_blob(registry, "a", digest) == chunks[winners[0]]


def test_all_who_finish_one_session_are_told_the_same(registry: Registry, stores: Stores) -> None:
    for _ in range(ROUNDS):
        content = images.blob(3000)
        upload = registry.uploads.start("a")
        registry.uploads.append("a", upload.id, Body([content]))

        results = run_concurrently(
            *[partial(registry.uploads.finish, "a", upload.id, digest_of(content), Body(()))] * 4
        )

        assert {each.object for each in results if isinstance(each, Link)} == {f"{upload.id}/{part_of(results)}"}
        assert pull_blob(registry, "a", digest_of(content)) == content


def part_of(results: list[Any]) -> str:
    return next(each.object.partition("/")[2] for each in results if isinstance(each, Link))


def test_the_same_blob_pushed_at_once_is_stored_once(registry: Registry, stores: Stores) -> None:
    content = images.blob(5000)

    results = run_concurrently(*(partial(push_blob, registry, name, content) for name in "aabbccddeeff"))

    assert all(isinstance(each, Link) for each in results)
    assert len(stores.blobs.names("", limit=100)) == 1
    assert all(pull_blob(registry, name, digest_of(content)) == content for name in "abcdef")


def test_a_manifest_never_outlives_its_blobs(registry: Registry, stores: Stores) -> None:
    for _ in range(ROUNDS):
        layer = images.blob()
        for content in (images.EMPTY_CONFIG, layer):
            push_blob(registry, "a", content)
        manifest = images.manifest([layer])
        put, deleted = run_concurrently(
            partial(push_manifest, registry, "a", manifest, "v1"),
            partial(registry.blobs.delete, "a", digest_of(layer)),
        )

        link = is_there(stores, Key(Link, digest_of(layer), "a"))
        assert is_there(stores, Key(Manifest, digest_of(manifest), "a")) == (not isinstance(put, RegistryError))
        assert link == isinstance(deleted, RegistryError)
        assert isinstance(put, RegistryError) != isinstance(deleted, RegistryError), "exactly one of them gives way"


def test_an_index_never_outlives_its_children(registry: Registry, stores: Stores) -> None:
    for number in range(ROUNDS):
        child = images.manifest([], annotations={"number": str(number)})
        push_blob(registry, "a", images.EMPTY_CONFIG)
        push_manifest(registry, "a", child)
        index = images.index([child])
        put, deleted = run_concurrently(
            partial(push_manifest, registry, "a", index), partial(registry.deletion.manifest, "a", digest_of(child))
        )

        assert isinstance(put, RegistryError) != isinstance(deleted, RegistryError), "exactly one of them gives way"
        assert is_there(stores, Key(Manifest, digest_of(child), "a")) == isinstance(deleted, RegistryError)


def test_a_tag_never_names_a_manifest_that_is_gone(registry: Registry, stores: Stores) -> None:
    for number in range(ROUNDS):
        push_blob(registry, "a", images.EMPTY_CONFIG)
        content = images.manifest([], annotations={"number": str(number)})
        push_manifest(registry, "a", content)
        run_concurrently(
            partial(push_manifest, registry, "a", content, "v1"),
            partial(registry.deletion.manifest, "a", digest_of(content)),
        )

        key = Key(Tag, "v1", "a")
        tag = stores.metadata.read([key])[key]
        if tag is not None:
            assert is_there(stores, Key(Manifest, tag.digest, "a"))


@pytest.mark.parametrize("writers", [8])
def test_a_mount_never_leads_to_nothing(registry: Registry, writers: int) -> None:
    for _ in range(ROUNDS):
        content = images.blob()
        digest = digest_of(content)
        push_blob(registry, "source", content)
        results = run_concurrently(
            *(partial(registry.blobs.mount, f"t{each}", digest, "source", any_repository) for each in range(writers)),
            partial(registry.blobs.delete, "source", digest),
        )

        for number, link in enumerate(results[:-1]):
            if link is not None:
                assert pull_blob(registry, f"t{number}", digest) == content


def test_pushing_shared_layers_at_once_succeeds(registry: Registry) -> None:
    layers = [images.blob() for _ in range(10)]
    for content in (images.EMPTY_CONFIG, *layers):
        push_blob(registry, "a", content)
    contents = [images.manifest(layers, annotations={"number": str(number)}) for number in range(12)]

    results = run_concurrently(*(partial(push_manifest, registry, "a", content) for content in contents))

    assert [each for each in results if isinstance(each, RegistryError)] == []
    push_image(registry, "a", "last")
