"""Clean-up, too, deletes no manifest because of a tag that anyone who may push can give it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext, clean_up
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.referrer_tags import COSIGN_MEDIA_TYPES
from lading.registry.registry import Registry
from lading_storage.protocols import Replace
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.cleanup.manifest_nodes import digests, kept, node, referrer_tag
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_image, push_manifest

OLD = '[{"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["v"], "olderThan": "30d"}}]'

Clean = Callable[[], set[str]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def clean(registry: Registry, clock: FakeClock) -> Clean:
    """Clean up by a plan; returns the digests of what lives then."""

    def clean() -> set[str]:
        rules = CleanupContext(parse_policies(OLD), [], clock())
        made = cleanup.plan(registry, "a", rules)
        clean_up(registry, "a", rules, apply_plan=True)
        left = {node.digest for node in registry.inventory.nodes("a")}
        assert left == {verdict.digest for verdict in made.decisions if verdict.kept}
        return left

    return clean


def tag_for(manifest: Manifest, suffix: str = ".sig") -> str:
    return manifest.digest.replace(":", "-") + suffix


def push_again(registry: Registry, manifest: Manifest, *tags: str) -> None:
    push_manifest(registry, "a", manifest.content or b"", *tags)


def push_signature(registry: Registry, *tags: str) -> Manifest:
    payload = images.blob()
    for content in (images.EMPTY_CONFIG, payload):
        push_blob(registry, "a", content)
    return push_manifest(registry, "a", images.signature(payload, min(COSIGN_MEDIA_TYPES[".sig"])), *tags)


def test_a_deployed_manifest_stays_and_only_the_tag_goes(registry: Registry, clock: FakeClock, clean: Clean) -> None:
    old, deployed = push_image(registry, "a", "v1"), push_image(registry, "a")
    clock.advance(days=31)
    push_again(registry, deployed, tag_for(old))

    assert clean() == {deployed.digest}

    assert registry.tags.names("a", "", 9).items == []
    registry.undelete.manifest("a", old.digest)
    assert registry.tags.names("a", "", 9).items == [tag_for(old), "v1"]


def test_what_belongs_to_an_image_goes_and_comes_back_with_it(
    registry: Registry, stores: Stores, clock: FakeClock, clean: Clean
) -> None:
    image = push_image(registry, "a", "v1")
    created = push_image(registry, "a", tag_for(image, ""))
    signature = push_signature(registry, tag_for(image))
    of_signature = push_signature(registry, tag_for(signature))
    record = stores.metadata.read([signature.key])[signature.key]
    assert record is not None
    # As an earlier release wrote it.
    stores.metadata.commit([Replace(replace(record, attachment=""))])
    clock.advance(days=31)

    assert clean() == set()

    every = {each.digest for each in (image, created, signature, of_signature)}
    assert set(registry.undelete.manifest("a", image.digest)) == every
    assert len(registry.tags.names("a", "", 9).items) == 4


def test_what_an_earlier_release_wrote_under_the_tag_stays(
    registry: Registry, stores: Stores, clock: FakeClock, clean: Clean
) -> None:
    image = push_image(registry, "a", "v1")
    created = push_image(registry, "a", tag_for(image, ""))
    record = stores.metadata.read([created.key])[created.key]
    assert record is not None
    stores.metadata.commit([Replace(replace(record, attachment=""))])
    clock.advance(days=31)

    assert clean() == {created.digest}
    assert registry.tags.names("a", "", 9).items == []


def test_naming_a_manifest_after_what_is_gone_makes_no_orphan_of_it(
    registry: Registry, clock: FakeClock, clean: Clean
) -> None:
    old, deployed = push_image(registry, "a", "v1"), push_image(registry, "a")
    signature = push_signature(registry)
    clock.advance(days=31)
    assert clean() == {deployed.digest, signature.digest}

    push_again(registry, deployed, tag_for(old))
    push_again(registry, signature, tag_for(old, ".sig"))
    clock.advance(days=31)

    assert clean() == {deployed.digest, signature.digest}


def test_a_tag_that_moves_between_the_look_and_the_deletion_stays(registry: Registry, clock: FakeClock) -> None:
    old, deployed, other = push_image(registry, "a", "v1"), push_image(registry, "a"), push_image(registry, "a")
    push_again(registry, deployed, tag_for(old))
    clock.advance(days=31)
    made = cleanup.plan(registry, "a", CleanupContext(parse_policies(OLD), [], clock()))
    push_again(registry, other, tag_for(old))

    assert cleanup.apply(registry, made).deleted == 1

    assert registry.tags.names("a", "", 9).items == [tag_for(old)]


def test_a_version_counts_whatever_tag_it_is_given() -> None:
    policies = """[
        {"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}},
        {"name": "last", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 2}}
    ]"""
    versions = [node(f"n{number}", f"v{number}", age=100 - number) for number in range(4)]
    last = replace(versions[3], tags=("v3", referrer_tag("n0", ".sig")), attachment="none")

    assert kept([*versions[:3], last], policies) == digests("n2 n3")


@pytest.mark.parametrize("suffix", ["", ".sig", ".sbom"])
@pytest.mark.parametrize("again", [(), ("other",), ("other", "more")])
def test_what_is_named_as_a_referrer_of_an_image_that_stays_stays_however_it_is_pushed_again(
    registry: Registry, clock: FakeClock, suffix: str, again: tuple[str, ...]
) -> None:
    """A pusher who sends it by digest, or with the tag of another image, ends what attached it, but not its name."""
    image, other, more = (push_image(registry, "a", tag) for tag in ("v1", "v2", "v3"))
    tag = tag_for(image, suffix)
    referrer = push_signature(registry, tag) if suffix == ".sig" else push_image(registry, "a", tag)
    clock.advance(minutes=5)
    push_again(registry, referrer, *(tag_for({"other": other, "more": more}[each]) for each in again))
    clock.advance(days=31)
    untagged = '[{"name": "old", "action": {"type": "Delete"}, "condition": {"tagState": "UNTAGGED"}}]'

    clean_up(registry, "a", CleanupContext(parse_policies(untagged), [], clock()), apply_plan=True)

    assert {each.digest for each in registry.inventory.nodes("a")} == {
        each.digest for each in (image, other, more, referrer)
    }
