"""Indexes that were superseded: they do not keep what they name from being deleted, and go along."""

from collections.abc import Callable
from dataclasses import replace
from itertools import count

import pytest

from lading.registry.content.referrer_tags import referrer_tags_of
from lading.registry.errors import MANIFEST_REFERENCED, RegistryError
from lading.registry.lifecycle import dependents
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.protocols import Replace
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact
from tests.support.registry_pushes import push_image, push_manifest

SUBJECT = digest_of(b"a subject")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def push_index(registry: Registry, *children: Manifest, tag: str = "", **fields: object) -> Manifest:
    content = images.index([child.content or b"" for child in children], **fields)
    return push_manifest(registry, "a", content, *([tag] if tag else []))


def live(registry: Registry, *manifests: Manifest) -> list[bool]:
    found = registry.metadata.read([manifest.key for manifest in manifests])
    return [found[manifest.key] is not None for manifest in manifests]


def deletes(registry: Registry, manifest: Manifest) -> bool:
    """Whether a manifest can be deleted, or is kept by an index."""
    try:
        registry.deletion.manifest("a", manifest.digest)
    except RegistryError as error:
        if error.descriptor != MANIFEST_REFERENCED:
            raise
        return False
    return True


@pytest.mark.parametrize("tag", ["v1", referrer_tags_of(SUBJECT)[0]])
def test_a_superseded_index_goes_with_a_child_and_comes_back_with_it(
    registry: Registry, stores: Stores, tag: str
) -> None:
    child, other = push_image(registry, "a"), push_image(registry, "a")
    old = push_index(registry, child, other, tag=tag)
    signature = push_manifest(registry, "a", images.manifest([], subject=images.descriptor(old.content or b"")))
    new = push_index(registry, other, tag=tag)
    gone: list[str] = []

    registry.deletion.manifest("a", child.digest, on_deleted=lambda thing: gone.append(thing.id))

    assert live(registry, child, old, signature, other, new) == [False, False, False, True, True]
    assert gone[-1] == child.digest
    assert {*gone} == {child.digest, old.digest, signature.digest}
    assert_intact(Snapshot(stores, ["a"]))
    registry.undelete.manifest("a", child.digest)
    assert all(live(registry, child, old, signature, other, new))
    assert_intact(Snapshot(stores, ["a"]))


def test_an_index_without_its_tag_is_superseded_as_well(registry: Registry) -> None:
    child = push_image(registry, "a")
    index = push_index(registry, child, tag="v1")
    registry.tags.delete("a", "v1")

    assert deletes(registry, child)
    registry.undelete.tag("a", "v1")
    assert live(registry, child, index) == [True, True]


def keep_by_a_tag(registry: Registry, child: Manifest, stores: Stores) -> None:
    push_index(registry, child, tag="v2")


def keep_by_an_index(registry: Registry, child: Manifest, stores: Stores) -> None:
    push_index(registry, push_index(registry, child, tag="v1"), tag="v2")


def keep_by_a_push_by_digest(registry: Registry, child: Manifest, stores: Stores) -> None:
    push_index(registry, child)


def keep_by_another_push_by_digest(registry: Registry, child: Manifest, stores: Stores) -> None:
    tag = referrer_tags_of(SUBJECT)[0]
    push_index(registry, child, tag=tag)
    push_index(registry, child)
    push_index(registry, tag=tag)


def keep_by_the_same_push_by_digest(registry: Registry, child: Manifest, stores: Stores) -> None:
    """Created under a tag, and acknowledged without one since."""
    assert push_index(registry, child, tag="v2").digest == push_index(registry, child).digest
    push_index(registry, tag="v2")


def keep_by_a_subject(registry: Registry, child: Manifest, stores: Stores) -> None:
    push_index(registry, child, tag="v1", subject={"mediaType": "a/b", "digest": SUBJECT, "size": 1})


def keep_by_the_tag_of_its_signature(registry: Registry, child: Manifest, stores: Stores) -> None:
    """As cosign stores signatures; a tag goes only with what its deletion names."""
    index = push_index(registry, child, tag="v1")
    push_manifest(
        registry, "a", images.manifest([], annotations={"signed": ""}), f"{referrer_tags_of(index.digest)[0]}.sig"
    )


def keep_by_a_report(registry: Registry, child: Manifest, stores: Stores) -> None:
    registry.in_use_reports.report("prod", [f"registry.example/a@{push_index(registry, child, tag='v1').digest}"])


def keep_by_an_earlier_release(registry: Registry, child: Manifest, stores: Stores) -> None:
    """Nothing tells how it was pushed."""
    index = push_index(registry, child, tag="v1")
    record = stores.metadata.read([index.key])[index.key]
    assert record is not None
    stores.metadata.commit([Replace(replace(record, attachment=""))])


@pytest.mark.parametrize(
    "keep",
    [
        keep_by_a_tag,
        keep_by_an_index,
        keep_by_a_push_by_digest,
        keep_by_another_push_by_digest,
        keep_by_the_same_push_by_digest,
        keep_by_a_subject,
        keep_by_the_tag_of_its_signature,
        keep_by_a_report,
        keep_by_an_earlier_release,
    ],
)
def test_an_index_to_which_something_leads_keeps_its_children(
    registry: Registry, stores: Stores, keep: Callable[[Registry, Manifest, Stores], None]
) -> None:
    child = push_image(registry, "a")
    superseded = push_index(registry, child, tag="v1", annotations={"old": ""})
    keep(registry, child, stores)
    push_index(registry, tag="v1")

    assert not deletes(registry, child)
    assert live(registry, child, superseded) == [True, True]


def test_many_superseded_indexes_go_in_turn(
    registry: Registry, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As clients leave them that add one referrer after the other to a list."""
    monkeypatch.setattr(dependents, "BATCH_SIZE", 2)
    children = [push_image(registry, "a") for _ in range(6)]
    tag = referrer_tags_of(SUBJECT)[0]
    indexes = [push_index(registry, *children[:number], tag=tag) for number in range(1, 7)]

    assert not deletes(registry, children[0])
    push_index(registry, *children[1:], tag=tag)

    assert deletes(registry, children[0])
    assert live(registry, *indexes, *children) == [False] * 7 + [True] * 5
    assert_intact(Snapshot(stores, ["a"]))


@pytest.mark.parametrize("what", ["tag", "index", "digest"])
def test_what_leads_to_an_index_again_meanwhile_keeps_it(stores: Stores, clock: FakeClock, what: str) -> None:
    """Before each call of the deletion in turn."""
    plain = Registry(stores.blobs, stores.metadata, clock=clock)
    kept = 0
    for point in count():
        child = push_image(plain, "a")
        old = push_index(plain, child, tag="v1")
        push_index(plain, tag="v1")
        refused: list[bool] = []

        def lead(old: Manifest = old, refused: list[bool] = refused) -> None:
            try:
                if what != "index":
                    push_manifest(plain, "a", old.content or b"", *(["v2"] if what == "tag" else []))
                else:
                    push_index(plain, old, tag="v2")
            except RegistryError:
                refused.append(True)
            else:
                refused.append(False)

        between = InterleavingStore(stores.metadata, point, lead)
        gone = deletes(Registry(stores.blobs, between, clock=clock), child)
        if not refused:
            break
        assert gone == refused[0], point
        assert live(plain, child, old) == [not gone, not gone]
        assert_intact(Snapshot(stores, ["a"]))
        kept += not gone
    assert kept >= 4
