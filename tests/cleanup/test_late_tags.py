"""A policy about tags takes a manifest only by a tag that it was pushed for: any other one goes alone."""

import json
from collections.abc import Callable

import pytest

from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading_storage.records.core import Manifest
from tests.cleanup.manifest_nodes import decisions, digest, kept, node, referrer_tag
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_blob, push_image, push_manifest


def rule(name: str = "p", **condition: object) -> str:
    return json.dumps({"name": name, "action": {"type": "Delete"}, "condition": {"olderThan": "7d"} | condition})


PR, TAGGED, ATTACHED = rule(tagPrefixes=["pr-"]), rule(tagState="TAGGED"), rule("attached", tagPrefixes=["sha256-"])
GLOB, BOTH = rule(tagGlobs=["pr*"]), rule(tagState="TAGGED", tagPrefixes=["pr-"])
UNTAGGED = rule("untagged", tagState="UNTAGGED")

Clean = Callable[..., tuple[set[str], list[str]]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def clean(registry: Registry, clock: FakeClock) -> Clean:
    """Clean up twenty days later, twice; returns the manifests and tags that are left."""

    def clean(*policies: str) -> tuple[set[str], list[str]]:
        clock.advance(days=20)
        for _ in range(2):
            made = cleanup.plan(registry, "a", CleanupContext(parse_policies(f"[{', '.join(policies)}]"), [], clock()))
            assert cleanup.apply(registry, made).changed == 0
        left = {node.digest for node in registry.inventory.nodes("a")}
        return left, [*registry.tags.names("a", "", 100).items]

    return clean


def name(registry: Registry, manifest: Manifest, *tags: str) -> None:
    """Do what any caller who may push can do."""
    push_manifest(registry, "a", manifest.content or b"", *tags)


@pytest.mark.parametrize("policy", [PR, TAGGED, GLOB, BOTH], ids=["prefix", "tagged", "glob", "both"])
def test_a_manifest_deployed_by_digest_stays_without_the_tag_that_it_got_later(
    registry: Registry, clock: FakeClock, clean: Clean, policy: str
) -> None:
    deployed = push_image(registry, "a")
    clock.advance(hours=25)
    name(registry, deployed, "pr-1")

    assert clean(policy) == ({deployed.digest}, [])
    assert clean(policy, UNTAGGED) == (set(), []), "it is a version without a tag, as any other"


@pytest.mark.parametrize("suffix", ["", ".sig", ".att"])
@pytest.mark.parametrize("days", [0, 2])
def test_a_tag_made_of_a_digest_goes_alone_where_it_attaches_nothing(
    registry: Registry, clock: FakeClock, clean: Clean, suffix: str, days: int
) -> None:
    deployed = push_image(registry, "a")
    clock.advance(days=days)
    name(registry, deployed, referrer_tag("gone", suffix))

    assert clean(ATTACHED) == ({deployed.digest}, [])


def test_a_signature_that_got_its_tag_later_goes_only_with_its_image(
    registry: Registry, clock: FakeClock, clean: Clean
) -> None:
    payload = b"payload"
    for blob in (images.EMPTY_CONFIG, payload):
        push_blob(registry, "a", blob)
    content = images.signature(payload, "application/vnd.dev.cosign.simplesigning.v1+json")
    signature = push_manifest(registry, "a", content)
    clock.advance(days=2)
    name(registry, signature, referrer_tag("gone", ".sig"))

    assert clean(ATTACHED) == ({signature.digest}, [])


@pytest.mark.parametrize("other", [referrer_tag("gone"), "pr-1"])
def test_a_signature_that_got_another_tag_keeps_the_one_of_an_image_that_stays(
    registry: Registry, clock: FakeClock, clean: Clean, other: str
) -> None:
    image = push_image(registry, "a", "prod")
    tag = f"{image.digest.replace(':', '-')}.sig"
    signature = push_image(registry, "a", tag)
    clock.advance(days=2)
    name(registry, signature, other)

    assert clean(ATTACHED, PR) == ({image.digest, signature.digest}, ["prod", tag])


@pytest.mark.parametrize("policy", [PR, TAGGED], ids=["prefix", "tagged"])
def test_a_manifest_goes_by_a_tag_of_its_push_or_of_the_same_day(
    registry: Registry, clock: FakeClock, clean: Clean, policy: str
) -> None:
    push_image(registry, "a", "pr-1")
    later = push_image(registry, "a")
    clock.advance(hours=24)
    name(registry, later, "pr-2")
    clock.advance(days=2)
    name(registry, later, "pr-3")

    assert clean(policy) == (set(), [])


def test_a_manifest_goes_by_the_tag_that_is_known_to_have_created_it(
    registry: Registry, clock: FakeClock, clean: Clean
) -> None:
    tag = referrer_tag("gone", ".sig")
    push_image(registry, "a", tag)
    clock.advance(days=2)
    registry.tags.delete("a", tag)
    registry.undelete.tag("a", tag)

    assert clean(ATTACHED) == (set(), [])


def test_other_tags_that_a_manifest_was_pushed_for_must_be_meant_too(
    registry: Registry, clock: FakeClock, clean: Clean
) -> None:
    image = push_image(registry, "a", "main-1")
    clock.advance(days=2)
    name(registry, image, "pr-1")

    assert clean(PR) == ({image.digest}, ["main-1"])
    name(registry, image, "pr-1")
    assert clean(PR, rule("main", tagPrefixes=["main-"])) == (set(), [])


def test_a_tag_that_came_back_counts_from_then(registry: Registry, clock: FakeClock, clean: Clean) -> None:
    image, undeleted = push_image(registry, "a", "pr-1"), push_image(registry, "a", "pr-2")
    registry.deletion.manifest("a", undeleted.digest)
    clock.advance(days=2)
    push_image(registry, "a", "pr-1")
    registry.rollback.by_steps("a", "pr-1", 1)
    registry.undelete.manifest("a", undeleted.digest)

    left, tags = clean(PR)

    assert left >= {image.digest, undeleted.digest}
    assert tags == []


def test_an_immutable_tag_of_a_later_day_goes_only_by_a_rule_that_says_so() -> None:
    late = node("a", "pr-1", immutable_tags=("pr-1",), late_tags=("pr-1",))
    strict, lenient = (
        decisions([late], f"[{PR[:-1]}{more}}}]")[late.digest] for more in ("", ', "immutableTags": true')
    )
    assert (strict.kept, strict.tags) == (True, ())
    assert (lenient.kept, lenient.tags) == (True, (("pr-1", "p"),))


def test_a_plan_says_that_tags_alone_go() -> None:
    late = node("a", "pr-1", late_tags=("pr-1",))
    verdict = decisions([late], f"[{PR}]")[late.digest]
    assert verdict.reason == "policies select only tags that it got more than a day after its creation"
    attached = node("b", referrer_tag("gone"), attachment="none")
    assert decisions([attached], f"[{ATTACHED}]")[digest("b")].reason == verdict.reason
    some = decisions([node("c", "pr-1", "main", late_tags=("pr-1",))], f"[{PR}]")[digest("c")]
    assert some.reason == "policies delete only some of its tags"


def test_a_rule_for_all_versions_takes_them_whatever_their_tags() -> None:
    assert kept([node("a", "pr-1", late_tags=("pr-1",))], f"[{rule(tagState='ANY')}]") == set()
