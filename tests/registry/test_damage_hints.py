"""A manifest that needs a marked blob is not found by HEAD, so that clients that ask for it alone push all again."""

import contextlib
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from lading.jobs.gc import damage_marks
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE, Replace
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.jobs import Job
from lading_storage.stores import Stores
from tests.support import images
from tests.support.object_damage import DAMAGES, InterleavingStores, damage, kill, scrub
from tests.support.registry_pushes import pull_blob, push_blob, push_manifest
from tests.support.store_hooks import Killed

CONFIG, LAYER, OTHER = (images.blob() for _ in range(3))
IMAGE = images.manifest([LAYER, OTHER], config=CONFIG)
HEALTHY = images.manifest([OTHER], config=CONFIG)
INDEX = images.index([IMAGE, HEALTHY])
ABOVE = images.index([INDEX])
ALL = {"image": IMAGE, "healthy": HEALTHY, "index": INDEX, "above": ABOVE}


def push_all(registry: Registry, repository: str = "a") -> None:
    """Push an image and a healthy one, an index of both, and an index of that one, each with a tag."""
    for content in (CONFIG, LAYER, OTHER):
        push_blob(registry, repository, content)
    for tag, content in ALL.items():
        push_manifest(registry, repository, content, tag)


def lose(registry: Registry, stores: Stores, content: bytes = LAYER, how: str = "missing") -> None:
    damage(stores.blobs, registry.blobs.get("a", digest_of(content)).object, content, how)


def is_found(registry: Registry, reference: str, *, whole: bool = True) -> bool:
    try:
        registry.manifests.find("a", reference, intact=whole)
    except RegistryError as error:
        return error.descriptor.code != "MANIFEST_UNKNOWN"
    return True


def found(registry: Registry, contents: dict[str, bytes] = ALL) -> set[str]:
    """Return the names that HEAD finds, by tag and digest alike."""
    by_tag = {name for name in contents if is_found(registry, name)}
    assert by_tag == {name for name, content in contents.items() if is_found(registry, digest_of(content))}
    return by_tag


def hinting(stores: Stores, contents: dict[str, bytes] = ALL) -> list[str]:
    """Return the tags and manifests that hint at damage."""
    keys: list[Key[Any]] = [Key(Tag, name, "a") for name in contents]
    keys += [Key(Manifest, digest_of(content), "a") for content in contents.values()]
    records = stores.metadata.read(keys)
    names = {digest_of(content): name for name, content in contents.items()}
    return [names.get(key.id, f":{key.id}") for key in keys if (record := records[key]) and record.damaged]


def set_hints(stores: Stores, keys: Sequence[Key[Any]], damaged: bool) -> None:
    records = stores.metadata.read(keys)
    stores.metadata.commit([Replace(replace(record, damaged=damaged)) for key in keys if (record := records[key])])


def end_lease(stores: Stores) -> None:
    """As where the process that holds the lease of the scrub has ended."""
    key = Key(Job, "scrub")
    if job := stores.metadata.read([key])[key]:
        stores.metadata.commit([Replace(replace(job, holder="", until=None))])


@pytest.mark.parametrize("how", DAMAGES)
def test_what_needs_a_marked_blob_is_not_found_until_it_is_pushed_again(
    registry: Registry, stores: Stores, how: str
) -> None:
    push_all(registry)
    lose(registry, stores, LAYER, how)
    assert found(registry) == set(ALL)

    assert len(scrub(registry)) == 1

    assert found(registry) == {"healthy"}
    assert all(is_found(registry, name, whole=False) for name in ALL), "GET goes on"
    assert len(scrub(registry)) == 1
    assert found(registry) == {"healthy"}

    push_blob(registry, "a", LAYER)

    assert found(registry) == set(ALL)
    push_manifest(registry, "a", IMAGE, "image")
    assert hinting(stores) == [":index", ":above", "index", "above"]
    push_manifest(registry, "a", INDEX)
    push_manifest(registry, "a", ABOVE, "above", "index")
    assert hinting(stores) == []
    assert pull_blob(registry, "a", digest_of(LAYER)) == LAYER
    assert registry.manifests.content(registry.manifests.find("a", "image", intact=True)) == IMAGE
    assert scrub(registry) == []


def test_a_put_leaves_a_manifest_as_it_was_but_for_the_hint(registry: Registry, stores: Stores) -> None:
    push_all(registry)
    keys: list[Key[Any]] = [Key(Manifest, digest_of(IMAGE), "a"), Key(Tag, "image", "a")]
    before = stores.metadata.read(keys)
    set_hints(stores, keys, damaged=True)

    push_manifest(registry, "a", IMAGE, "image")

    after = stores.metadata.read(keys)
    assert [after[key] for key in keys] == [before[key] for key in keys]
    assert len(registry.tags.history("a", "image", "", 9).items) == 1


def test_scrub_removes_what_a_push_elsewhere_left(registry: Registry, stores: Stores) -> None:
    push_all(registry)
    lose(registry, stores)
    scrub(registry)
    assert len(hinting(stores)) == 6

    push_blob(registry, "elsewhere", LAYER)

    assert found(registry) == set(ALL), "the hint decides nothing"
    assert scrub(registry) == []
    assert hinting(stores) == []


def test_a_hint_alone_decides_nothing(registry: Registry, stores: Stores) -> None:
    push_all(registry)
    keys: list[Key[Any]] = [Key(Tag, name, "a") for name in ALL]
    keys += [Key(Manifest, digest_of(content), "a") for content in ALL.values()]
    set_hints(stores, keys, damaged=True)

    assert found(registry) == set(ALL)
    assert scrub(registry) == []

    assert hinting(stores) == []


def test_a_manifest_that_is_not_whole_is_not_named(registry: Registry, stores: Stores) -> None:
    push_all(registry)
    lose(registry, stores, CONFIG)
    scrub(registry)

    with pytest.raises(RegistryError) as error:
        push_manifest(registry, "a", images.index([INDEX, IMAGE], annotations={"": "another"}))

    assert error.value.descriptor.code == "MANIFEST_BLOB_UNKNOWN"
    assert {each["digest"] for each in error.value.detail} == {digest_of(INDEX), digest_of(IMAGE)}


def test_a_tag_that_is_moved_to_a_marked_manifest_hints_at_it(registry: Registry, stores: Stores) -> None:
    push_all(registry)
    push_manifest(registry, "a", HEALTHY, "image")
    lose(registry, stores)
    scrub(registry)
    assert is_found(registry, "image")

    registry.rollback.by_steps("a", "image", 1)

    assert not is_found(registry, "image")
    assert is_found(registry, "image", whole=False)


def test_what_is_restored_whole_hints_at_nothing(registry: Registry, stores: Stores) -> None:
    push_all(registry)
    lose(registry, stores)
    scrub(registry)
    registry.deletion.manifest("a", digest_of(ABOVE))
    push_blob(registry, "a", LAYER)

    registry.undelete.manifest("a", digest_of(ABOVE))

    assert found(registry) == set(ALL)
    assert "above" not in hinting(stores)
    assert ":above" not in hinting(stores)


def test_a_large_manifest_is_not_found_either(registry: Registry, stores: Stores) -> None:
    for content in (CONFIG, LAYER):
        push_blob(registry, "a", content)
    large = images.manifest([LAYER], config=CONFIG, annotations={"filler": "x" * MAX_CONTENT_SIZE})
    contents = {"large": large, "index": images.index([large])}
    for tag, content in contents.items():
        push_manifest(registry, "a", content, tag)
    for lost in (LAYER, large):
        lose(registry, stores, lost)
        scrub(registry)
        assert found(registry, contents) == set()
        assert is_found(registry, "index", whole=False)

        push_blob(registry, "a", LAYER)
        push_manifest(registry, "a", large, "large")

        assert found(registry, contents) == set(contents)
        assert hinting(stores, contents) == [":index", "index"]
        assert registry.manifests.content(registry.manifests.find("a", "large")) == large


def test_what_is_marked_late_is_hinted_at_by_the_phases(
    registry: Registry, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where more manifests name a layer than are seen to at once."""
    monkeypatch.setattr(damage_marks, "MAX_IMMEDIATE_UPDATES", 0)
    push_all(registry)
    lose(registry, stores)

    scrub(registry)

    assert found(registry) == {"healthy"}
    assert len(hinting(stores)) == 6


@pytest.mark.parametrize("at_once", [0, 1_000])
def test_a_scrub_that_was_killed_is_made_up_for(
    stores: Stores, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Before each of its calls, in turn; and so is the one that finds all good again."""
    monkeypatch.setattr(damage_marks, "MAX_IMMEDIATE_UPDATES", at_once)
    registry = Registry(stores.blobs, stores.metadata)
    # The emulators take minutes for all.
    stride = 1 if "LADING_DATA" in environment else 7
    push_all(registry)
    link = registry.blobs.get("a", digest_of(LAYER))
    for point in itertools.count(0, stride):
        for good in (False, True):
            if good:
                stores.blobs.append(link.object, [LAYER])
            else:
                stores.blobs.delete(link.object)
            steps = InterleavingStores(stores, point, kill)
            try:
                scrub(steps.registry)
            except Killed:
                end_lease(stores)
                assert len(scrub(registry)) == (not good)
            assert found(registry) == (set(ALL) if good else {"healthy"}), point
            assert len(hinting(stores)) == (0 if good else 6), point
        if steps.count <= point:
            break
    assert point > 20


@pytest.mark.parametrize("at_once", [0, 1_000])
def test_a_scrub_hints_at_what_is_put_beside_it(
    stores: Stores, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """A put before each call of the scrub: it is refused, or HEAD does not find it once the scrub is done."""
    monkeypatch.setattr(damage_marks, "MAX_IMMEDIATE_UPDATES", at_once)
    registry = Registry(stores.blobs, stores.metadata)
    stride = 5 if "LADING_DATA" in environment else 30
    for point in itertools.count(0, stride):
        push_all(registry)
        lose(registry, stores)
        content = images.manifest([LAYER], config=CONFIG, annotations={"number": str(point)})
        steps = InterleavingStores(stores, point, partial(_try_to_put, registry, content))

        scrub(steps.registry)

        assert not is_found(registry, "beside"), point
        assert not is_found(registry, digest_of(content)), point
        assert found(registry) == {"healthy"}, point
        if steps.count <= point:
            break
        push_blob(registry, "a", LAYER)
        scrub(registry)
    assert point > 20


def _try_to_put(registry: Registry, content: bytes) -> None:
    with contextlib.suppress(RegistryError):
        push_manifest(registry, "a", content, "beside")
