"""A tag such as cosign's takes no manifest along that does not itself belong to what is deleted."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lading.registry.content.referrer_tags import COSIGN_MEDIA_TYPES, referrer_tags_of
from lading.registry.errors import MANIFEST_BLOB_UNKNOWN, RegistryError
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.protocols import Replace
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.invariants import Snapshot, assert_intact
from tests.support.registry_pushes import push_blob, push_image, push_manifest


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def lives(registry: Registry, manifest: Manifest) -> bool:
    key = manifest.key
    return registry.metadata.read([key])[key] is not None


def tags(registry: Registry) -> list[str]:
    return [*registry.tags.names("a", "", 100).items]


def referrer_tag(manifest: Manifest, suffix: str = ".sig") -> str:
    return manifest.digest.replace(":", "-") + suffix


def push_again(registry: Registry, manifest: Manifest, *tags: str) -> None:
    push_manifest(registry, "a", manifest.content or b"", *tags)


def push_signature(registry: Registry, *tags: str, kind: str = ".sig") -> Manifest:
    """Push what cosign puts under its tags."""
    payload = images.blob()
    for content in (images.EMPTY_CONFIG, payload):
        push_blob(registry, "a", content)
    return push_manifest(registry, "a", images.signature(payload, min(COSIGN_MEDIA_TYPES[kind])), *tags)


def clear_attachment(stores: Stores, manifest: Manifest) -> None:
    """Leave the record as a release wrote it that did not know of attachments."""
    record = stores.metadata.read([manifest.key])[manifest.key]
    assert record is not None
    stores.metadata.commit([Replace(replace(record, attachment=""))])


@pytest.mark.parametrize("suffix", ["", ".sig", ".att", ".sbom"])
def test_a_deployed_manifest_stays_and_only_the_tag_goes(registry: Registry, clock: FakeClock, suffix: str) -> None:
    old, deployed = push_image(registry, "a", "old"), push_image(registry, "a")
    clock.advance(days=1)
    push_again(registry, deployed, referrer_tag(old, suffix))

    registry.deletion.manifest("a", old.digest)

    assert lives(registry, deployed)
    assert tags(registry) == []
    history = registry.tags.history("a", referrer_tag(old, suffix), "", 9).items
    assert [(move.action, move.before) for move in history] == [("delete", deployed.digest), ("push", "")]
    registry.undelete.manifest("a", old.digest)
    assert tags(registry) == sorted(["old", referrer_tag(old, suffix)])


def test_restoring_a_subject_leaves_deleted_what_a_tag_only_named(registry: Registry) -> None:
    old, deployed = push_image(registry, "a"), push_image(registry, "a")
    push_again(registry, deployed, referrer_tag(old))
    registry.deletion.manifest("a", old.digest)
    registry.deletion.manifest("a", deployed.digest)

    assert registry.undelete.manifest("a", old.digest) == [old.digest]

    assert not lives(registry, deployed)
    assert registry.undelete.manifest("a", deployed.digest) == [deployed.digest]


def test_what_was_created_under_the_tag_goes_and_comes_back_in_one(registry: Registry) -> None:
    old = push_image(registry, "a", "old")
    listed = push_image(registry, "a", referrer_tag(old, ""))
    of_listed = push_image(registry, "a", referrer_tag(listed))

    registry.deletion.manifest("a", old.digest)
    assert not any(lives(registry, each) for each in (old, listed, of_listed))

    assert set(registry.undelete.manifest("a", old.digest)) == {old.digest, listed.digest, of_listed.digest}
    assert tags(registry) == sorted(["old", referrer_tag(old, ""), referrer_tag(listed)])
    registry.deletion.manifest("a", old.digest)
    assert not any(lives(registry, each) for each in (old, listed, of_listed))


def test_what_was_created_under_the_tag_and_pushed_by_digest_since_stays(registry: Registry) -> None:
    old = push_image(registry, "a")
    shared = push_image(registry, "a", referrer_tag(old))
    push_again(registry, shared)

    registry.deletion.manifest("a", old.digest)

    assert lives(registry, shared)


@pytest.mark.parametrize("kind", [".sig", ".att", ".sbom"])
def test_what_signers_write_goes_though_it_was_first_pushed_by_digest(registry: Registry, kind: str) -> None:
    old = push_image(registry, "a")
    signature = push_signature(registry, kind=kind)
    push_again(registry, signature, referrer_tag(old, kind))

    registry.deletion.manifest("a", old.digest)

    assert not lives(registry, signature)
    registry.undelete.manifest("a", old.digest)
    assert lives(registry, signature)


def test_a_signature_stays_under_a_tag_for_something_else(registry: Registry) -> None:
    old = push_image(registry, "a")
    signature = push_signature(registry)
    push_again(registry, signature, referrer_tag(old, ".sbom"), referrer_tag(old, ""))

    registry.deletion.manifest("a", old.digest)

    assert lives(registry, signature)
    assert tags(registry) == []


def test_the_signature_of_another_image_stays_though_its_tag_was_moved_away(registry: Registry) -> None:
    old, image = push_image(registry, "a"), push_image(registry, "a", "v1")
    signature = push_signature(registry, referrer_tag(image))
    push_again(registry, signature, referrer_tag(old))
    push_again(registry, old, referrer_tag(image))

    registry.deletion.manifest("a", old.digest)

    assert lives(registry, signature)


def test_a_manifest_with_a_subject_belongs_to_that_alone(registry: Registry) -> None:
    old, image = push_image(registry, "a"), push_image(registry, "a", "v1")
    described = images.descriptor(image.content or b"")
    referrer = push_manifest(registry, "a", images.manifest([], subject=described), referrer_tag(old))

    registry.deletion.manifest("a", old.digest)
    assert lives(registry, referrer)

    registry.deletion.manifest("a", image.digest)
    assert not lives(registry, referrer)


def test_what_an_earlier_release_wrote_goes_by_its_content_alone(registry: Registry, stores: Stores) -> None:
    old = push_image(registry, "a")
    created = push_image(registry, "a", referrer_tag(old, ".sbom"))
    signature = push_signature(registry, referrer_tag(old))
    clear_attachment(stores, created)
    clear_attachment(stores, signature)

    registry.deletion.manifest("a", old.digest)

    assert lives(registry, created)
    assert not lives(registry, signature)
    assert tags(registry) == []


def test_an_immutable_tag_that_takes_nothing_along_keeps_nothing_either(stores: Stores, clock: FakeClock) -> None:
    registry = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["a:sha256-*"])), clock)
    old, deployed = push_image(registry, "a"), push_image(registry, "a")
    push_again(registry, deployed, referrer_tag(old))

    registry.deletion.manifest("a", old.digest)

    assert not lives(registry, old)
    assert tags(registry) == [referrer_tag(old)]


def test_who_pushes_a_manifest_while_its_subject_is_deleted_keeps_it(stores: Stores, clock: FakeClock) -> None:
    """Between any two calls: pushed again by digest, under another tag, or in an index, it has another name."""
    plain = Registry(stores.blobs, stores.metadata, clock=clock)

    def by_index(manifest: Manifest) -> None:
        push_manifest(plain, "a", images.index([manifest.content or b""]))

    ways: list[Callable[[Manifest], None]] = [
        lambda manifest: push_again(plain, manifest),
        lambda manifest: push_again(plain, manifest, "own"),
        by_index,
    ]
    for way in ways:
        point, calls = 0, 1
        while point < calls:
            old = push_image(plain, "a")
            created = push_image(plain, "a", referrer_tag(old))
            taken: list[bool] = []
            between = InterleavingStore(stores.metadata, point, lambda: taken.append(is_taken(lambda: way(created))))  # noqa: B023
            Registry(stores.blobs, between, clock=clock).deletion.manifest("a", old.digest)
            assert lives(plain, created) == (taken == [True]), f"pushed before call {point}"
            point, calls = point + 1, between.calls
        assert calls > 5
    assert_intact(Snapshot(stores, ["a"]))


def is_taken(push: Callable[[], object]) -> bool:
    """Whether a push is not refused: an index is whose child has just been deleted."""
    try:
        push()
    except RegistryError as error:
        if error.descriptor != MANIFEST_BLOB_UNKNOWN:
            raise
        return False
    return True


def test_all_tags_of_a_digest_are_looked_for(registry: Registry) -> None:
    old, deployed = push_image(registry, "a"), push_image(registry, "a")
    push_again(registry, deployed, *referrer_tags_of(old.digest))

    registry.deletion.manifest("a", old.digest)

    assert lives(registry, deployed)
    assert tags(registry) == []
