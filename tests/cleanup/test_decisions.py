"""What clean-up decides, and how it says so."""

from datetime import timedelta

import pytest

from lading.registry.cleanup.graph import Node
from lading.registry.cleanup.last_pulled import MIN_WRITE_INTERVAL
from tests.cleanup.manifest_nodes import NOW, decisions, digest, digests, kept, node, referrer_tag

ALL = '[{"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}}]'
OLD = '[{"name": "old", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}]'
UNTAGGED = '[{"name": "untagged", "action": {"type": "Delete"}, "condition": {"tagState": "untagged"}}]'


def and_keep(policies: str, more: str) -> str:
    return policies[:-1] + ', {"name": "keep", "action": {"type": "Keep"}, ' + more + "}]"


def image(name: str, *tags: str, age: float = 100) -> list[Node]:
    """An index of two platforms, each with a signature by tag, and with an SBOM by subject."""
    return [
        node(name, *tags, age=age, children=[f"{name}-amd64", f"{name}-arm64"]),
        node(f"{name}-amd64", age=age),
        node(f"{name}-arm64", age=age),
        node(f"{name}-sbom", age=age, subject=name),
        node(f"{name}-sig", referrer_tag(name, ".sig"), age=age),
        node(f"{name}-amd64-sig", referrer_tag(f"{name}-amd64", ".sig"), age=age),
    ]


def all_of(name: str) -> set[str]:
    return digests(f"{name} {name}-amd64 {name}-arm64 {name}-sbom {name}-sig {name}-amd64-sig")


def test_without_policies_nothing_goes() -> None:
    assert kept([*image("a", "v1"), node("x")], "[]") == all_of("a") | digests("x")


def test_an_image_goes_as_a_whole_or_not_at_all() -> None:
    assert kept([*image("a", "v1"), *image("b", "v2", age=10)], OLD) == all_of("b")


def test_what_has_no_tag_but_is_held_is_no_untagged_manifest() -> None:
    assert kept([*image("a", "v1"), *image("b")], UNTAGGED) == all_of("a")


def test_children_and_signatures_do_not_count_as_versions() -> None:
    images = [manifest for number in range(5) for manifest in image(f"i{number}", f"v{number}", age=100 - number)]
    orphans = [node("o", age=1, subject="gone"), node("p", referrer_tag("gone", ".sig"), age=1)]
    policies = and_keep(ALL, '"mostRecentVersions": {"keepCount": 2}')
    assert kept([*images, *orphans], policies) == all_of("i3") | all_of("i4")


def test_children_whose_index_is_still_to_come_take_no_places_of_versions() -> None:
    images = [node("a", "v1", age=100), node("b", "v2", age=99), node("c", "v3", age=98)]
    coming = [node("amd64", age=0), node("arm64", age=0)]
    policies = and_keep(ALL, '"mostRecentVersions": {"keepCount": 2}')
    assert kept([*images, *coming], policies) == digests("b c amd64 arm64")


def test_the_count_is_of_what_the_policy_means() -> None:
    images = [node(f"n{number}", f"{'vw'[number % 2]}{number}", age=100 - number) for number in range(6)]
    policies = and_keep(ALL, '"mostRecentVersions": {"keepCount": 2, "tagGlobs": ["v*"]}')
    assert kept(images, policies) == digests("n2 n4")


@pytest.mark.parametrize("suffix", [".sig", ".att", ".sbom", ""])
def test_tags_attach_to_their_subjects(suffix: str) -> None:
    signed = [
        node("a", "v1", age=1),
        node("b", "v2"),
        node("s", referrer_tag("a", suffix)),
        node("t", referrer_tag("b")),
    ]
    assert kept(signed, OLD) == digests("a s")


def test_the_fallback_index_of_referrers_keeps_what_it_lists() -> None:
    signed = [node("a", "v1"), node("list", referrer_tag("a"), children=["s"]), node("s", subject="a")]
    policies = and_keep(ALL, '"condition": {"tagPrefixes": ["v"]}')
    assert kept(signed, policies) == digests("a list s")
    assert kept(signed, ALL) == set()


def test_a_referrer_with_a_tag_of_its_own_stays_without_its_subject() -> None:
    manifests = [node("a", "old"), node("chart", "keep-me", subject="a")]
    assert kept(manifests, and_keep(ALL, '"condition": {"tagPrefixes": ["keep"]}')) == digests("chart")


def test_a_referrer_whose_subject_never_came_goes_like_an_untagged_manifest() -> None:
    assert kept(
        [node("s", subject="gone"), node("t", referrer_tag("gone", ".sig")), node("a", "v1")], UNTAGGED
    ) == digests("a")


def test_a_child_stays_for_whichever_index_stays() -> None:
    manifests = [node("a", "v1", children=["c"]), node("b", "v2", children=["c"], age=1), node("c")]
    assert kept(manifests, OLD) == digests("b c")


def test_a_child_with_a_tag_of_its_own_is_judged_by_it() -> None:
    manifests = [node("a", "old-1", children=["c", "d"]), node("c", "v1-amd64"), node("d")]
    policies = '[{"name": "x", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["old"]}}]'
    assert kept(manifests, policies) == digests("c")


def test_indexes_hold_indexes() -> None:
    manifests = [node("top", "v1", age=1, children=["mid"]), node("mid", children=["leaf"]), node("leaf")]
    assert kept(manifests, OLD) == digests("top mid leaf")


@pytest.mark.parametrize("tag", ["v1", referrer_tag("a", ".sig")])
def test_an_immutable_tag_goes_only_by_a_rule_that_says_so(tag: str) -> None:
    manifests = [node("a", "v0"), node("s", tag, immutable_tags=(tag,))]
    assert digest("s") in kept(manifests, ALL)
    assert kept(manifests, ALL.replace("}}", '}, "immutableTags": true}')) == set()


def test_a_rule_that_may_not_does_not_stand_before_one_that_may() -> None:
    both = ALL[:-1] + ", " + ALL[1:].replace('"all"', '"expire"').replace("}}", '}, "immutableTags": true}')
    verdict = decisions([node("a", "v1", immutable_tags=("v1",))], both)[digest("a")]
    assert (verdict.kept, verdict.policy) == (False, "expire")


def test_what_runs_stays_with_the_index_that_started_it() -> None:
    manifests = [*image("a", "v1"), *image("b", "v2")]
    assert kept(manifests, ALL, {digest("a-amd64"): "in cluster-1"}) == all_of("a")


def test_what_was_pulled_by_its_platform_was_pulled() -> None:
    stale = '[{"name": "stale", "action": {"type": "Delete"}, "condition": {"moreStaleThan": "30d"}}]'
    manifests = [node("a", "v1", children=["c"]), node("c", pulled=NOW), node("b", "v2", pulled=None)]
    assert kept(manifests, stale) == digests("a c")


def test_what_is_stale_was_not_pulled_in_the_hour_after_the_pull_on_record_either() -> None:
    """Pulls of one manifest are written once an hour."""
    stale = '[{"name": "stale", "action": {"type": "Delete"}, "condition": {"moreStaleThan": "30d"}}]'
    minute = timedelta(minutes=1)
    for age, names in ((MIN_WRITE_INTERVAL, "a"), (MIN_WRITE_INTERVAL + minute, "")):
        manifests = [node("a", "v1", pulled=NOW - timedelta(days=30) - age)]
        assert kept(manifests, stale) == digests(names), age


def test_what_is_in_the_midst_of_a_push_stays() -> None:
    minute = 1 / 24 / 60
    assert kept([node("a", age=59 * minute), node("b", age=61 * minute), node("c", "v1", age=minute)], ALL) == digests(
        "a"
    )


def test_what_was_left_when_its_holder_went_goes_by_the_same_rule() -> None:
    left = [
        node("c", orphaned_by="old"),
        node("tagged", "x", orphaned_by="old"),
        node("young", age=0.01, orphaned_by="old"),
    ]
    held = [node("i", "v1", children=["d"]), node("d", orphaned_by="old")]
    assert kept([*left, *held], "[]") == digests("tagged young i d")
    assert decisions(left, "[]")[digest("c")].reason == "its parent was deleted by policy 'old'"
    assert digest("c") in kept(left, and_keep(OLD, '"condition": {"tagState": "untagged"}'))


def test_rings_end() -> None:
    ring = [
        node("a", referrer_tag("b", ".sig")),
        node("b", referrer_tag("a", ".sig")),
        node("self", referrer_tag("self", ".sig"), subject="self", children=["self"]),
    ]
    assert kept(ring, "[]") == digests("a b self")
    assert kept(ring, ALL) == set()


def test_another_repository_has_other_rules() -> None:
    elsewhere = ALL.replace('"tagState": "any"', '"packageNamePrefixes": ["other/"]')
    assert kept([node("a", "v1")], elsewhere) == digests("a")


def test_each_verdict_says_why() -> None:
    policies = and_keep(OLD, '"mostRecentVersions": {"keepCount": 1}')
    manifests = [*image("a", "v1"), *image("b", "v2", age=90), node("c", "x", immutable_tags=("x",)), node("d", age=1)]
    verdicts = decisions([*manifests, node("r", "y", subject="gone")], policies, {digest("r"): "in cluster-1"})
    told = {
        name: (verdicts[digest(name)].policy, verdicts[digest(name)].reason) for name in ("a", "a-sbom", "a-amd64-sig")
    }
    assert told == {
        "a": ("old", "policy 'old'"),
        "a-sbom": ("old", f"referrer of {digest('a')}: policy 'old'"),
        "a-amd64-sig": ("old", f"referrer of {digest('a-amd64')}, below {digest('a')}: policy 'old'"),
    }
    assert verdicts[digest("d")].reason == "policy 'keep'"
    assert verdicts[digest("b-amd64")].reason == f"child of {digest('b')}: policy 'old'"
    assert verdicts[digest("c")].reason == "its tag x is immutable, and no policy may delete that"
    assert verdicts[digest("r")].reason == "it is in use in cluster-1"
    assert decisions([node("z", age=1)], OLD)[digest("z")].reason == "no policy deletes it"


def test_the_tag_of_a_long_digest_is_cut() -> None:
    long = Node(digest="sha512:" + "ab" * 64, size=1, created=NOW, tags=("v1",))
    assert kept([long, node("list", "sha512-" + "ab" * 32)], OLD) == {long.digest, digest("list")}
