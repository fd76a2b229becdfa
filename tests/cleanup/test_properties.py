"""Whatever the graph and whatever the policies: nothing that is kept lacks a part, and nothing goes without a rule."""

import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lading.registry.cleanup.evaluate import evaluate
from lading.registry.cleanup.graph import Graph, Node, belongs_to_build
from lading.registry.cleanup.last_pulled import MIN_WRITE_INTERVAL
from lading.registry.cleanup.policies import Policy, Version
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.content.referrer_tags import (
    NOT_ATTACHED,
    OWN_TAG,
    OWN_TAG_AND_DIGEST,
    attachment_of,
    referrer_tags_of,
)
from tests.cleanup.manifest_nodes import NOW, decisions, digest, kept, node, referrer_tag
from tests.faults import NIGHTLY

EXAMPLES = settings(
    max_examples=2_500 if NIGHTLY else 100,
    suppress_health_check=[HealthCheck.too_slow],
)

ATTACHMENTS = ("", OWN_TAG, OWN_TAG_AND_DIGEST, NOT_ATTACHED)
NAMES = [f"m{number}" for number in range(8)]
TAGS = ["v1", "v2", "v2-rc1", "latest", *(referrer_tag(name, suffix) for name in NAMES[:3] for suffix in ("", ".sig"))]

conditions: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"tagState": st.sampled_from(["any", "tagged", "untagged"])},
    optional={
        "tagPrefixes": st.lists(st.sampled_from(["v", "latest", "sha256-"]), min_size=1, max_size=2),
        "olderThan": st.sampled_from(["5d", "50d"]),
        "newerThan": st.sampled_from(["5d", "50d"]),
        "moreStaleThan": st.sampled_from(["5d", "50d"]),
    },
)
deletes = st.fixed_dictionaries(
    {"action": st.just({"type": "Delete"}), "condition": conditions, "immutableTags": st.booleans()}
)
keeps = st.fixed_dictionaries({"action": st.just({"type": "Keep"}), "condition": conditions}) | st.fixed_dictionaries(
    {"action": st.just({"type": "Keep"}), "mostRecentVersions": st.fixed_dictionaries({"keepCount": st.integers(1, 3)})}
)


@st.composite
def files(draw: st.DrawFn) -> str:
    """A file of policies, one at least of which deletes."""
    policies = [*draw(st.lists(deletes, min_size=1, max_size=3)), *draw(st.lists(keeps, max_size=2))]
    return json.dumps([{"name": f"p{number}"} | policy for number, policy in enumerate(policies)])


@st.composite
def graphs(draw: st.DrawFn) -> list[Node]:
    """Some manifests that name some, rings and absent ones among them; a tag names one manifest, as tags do."""
    there = draw(st.lists(st.sampled_from(NAMES), unique=True))
    owners = {tag: draw(st.sampled_from(there)) for tag in draw(st.sets(st.sampled_from(TAGS)))} if there else {}
    nodes = []
    for name in there:
        tags = sorted(tag for tag, owner in owners.items() if owner == name)
        nodes.append(
            node(
                name,
                *tags,
                age=draw(st.sampled_from([0.01, 1, 10, 100])),
                children=draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)),
                attachment=draw(st.sampled_from([attachment_of("", tags), *ATTACHMENTS])),
                subject=draw(st.sampled_from(["", "", *NAMES])),
                immutable_tags=tuple(tag for tag in tags if draw(st.booleans())),
                late_tags=tuple(tag for tag in tags if draw(st.booleans())),
                pulled=draw(st.sampled_from([None, NOW, NOW - timedelta(days=20)])),
            )
        )
    return nodes


running = st.dictionaries(st.sampled_from([digest(name) for name in NAMES]), st.just("in cluster-1"), max_size=2)


@EXAMPLES
@given(graphs(), files(), running)
def test_nothing_that_is_kept_lacks_a_part(nodes: list[Node], policies: str, runs: dict[str, str]) -> None:
    verdicts = decisions(nodes, policies, runs)
    assert set(verdicts) == {each.digest for each in nodes}
    graph = Graph(nodes)
    stay = {each for each, verdict in verdicts.items() if verdict.kept}
    assert set(graph.reachable(stay)) == stay
    for each in nodes:
        if each.digest in stay:
            assert {child for child in each.children if child in verdicts} <= stay
        elif each.subject in verdicts and each.subject != each.digest:
            assert each.subject not in stay
    assert {each for each in runs if each in verdicts} <= stay


@EXAMPLES
@given(graphs(), files(), running)
def test_keeping_wins_and_nothing_goes_without_a_rule(nodes: list[Node], policies: str, runs: dict[str, str]) -> None:
    rules = {policy.name: policy for policy in parse_policies(policies)}
    for each, verdict in decisions(nodes, policies, runs).items():
        if not verdict.kept:
            assert rules[verdict.policy].deletes
            assert not any(_keeps(rule, nodes, each) for rule in rules.values())
    only_keeps = json.dumps([each for each in json.loads(policies) if each["action"] == {"type": "Keep"}])
    assert kept(nodes, only_keeps) == {each.digest for each in nodes}


def _keeps(rule: Policy, nodes: list[Node], digest: str) -> bool:
    """Whether a rule alone keeps this manifest from one that deletes all that may go."""
    if rule.deletes:
        return False
    everything = parse_policies(
        '[{"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}, "immutableTags": true}]'
    )
    verdicts = evaluate("team/app", Graph(nodes), [rule, *everything], {}, NOW)
    return any(each.kept and each.policy == rule.name for each in verdicts if each.digest == digest)


@EXAMPLES
@given(graphs(), files())
def test_nothing_goes_but_by_all_its_tags_or_with_what_it_belongs_to(nodes: list[Node], policies: str) -> None:
    rules = [rule.condition for rule in parse_policies(policies) if rule.deletes]
    verdicts = decisions(nodes, policies)
    gone = [each for each in nodes if not verdicts[each.digest].kept]
    for each in nodes:
        version = _version(each, nodes)
        matching = [where for where in rules if where.matches(version, NOW)]
        deleted = {tag for where in matching if where.applies_to_tags for tag in where.selected_tags(version)}
        if each not in gone:
            going = {tag for tag, _ in verdicts[each.digest].tags}
            assert going <= deleted
            assert all(going.isdisjoint(referrer_tags_of(other)) for other, verdict in verdicts.items() if verdict.kept)
            continue
        whole = any(not where.applies_to_tags for where in matching)
        own = {*each.own_tags, *each.attaching_tags} - {*each.late_tags}
        all_tags = bool(deleted & own) and deleted >= set(each.own_tags or each.attaching_tags)
        parts = [index for index in gone if each.digest in index.children]
        of_build = any(belongs_to_build(each.attachment, each.created, index.created) for index in parts)
        assert whole or all_tags or (not each.own_tags and (each.is_referrer or of_build))


def _version(each: Node, nodes: list[Node]) -> Version:
    pulls = [
        node.pulled + MIN_WRITE_INTERVAL
        for node in nodes
        if node.pulled and each.digest in Graph(nodes).with_parent_indexes([node.digest])
    ]
    return Version(each.digest, each.own_tags, each.referrer_tags, each.created, max([each.created, *pulls]))


@EXAMPLES
@given(graphs(), files(), st.sets(st.sampled_from(NAMES)), st.sampled_from([0.01, 5, 50, 99.5]))
def test_an_index_of_versions_with_tags_lets_nothing_go(
    nodes: list[Node], policies: str, children: set[str], age: float
) -> None:
    """Compared with the same manifest without them, which takes a place of a version, too."""
    named = [name for name in sorted(children) if any(each.digest == digest(name) and each.own_tags for each in nodes)]
    # It counts as pulled with its children in either case.
    alone = node("index", "other", age=age, pulled=NOW)
    index = replace(alone, children=tuple(digest(name) for name in named))
    assert kept([*nodes, alone], policies) <= kept([*nodes, index], policies)


@EXAMPLES
@given(graphs(), files(), st.sets(st.sampled_from(["v3", "latest-2", referrer_tag("gone", ".att")]), min_size=1))
def test_late_tags_let_nothing_go_by_rules_about_tags(nodes: list[Node], policies: str, tags: set[str]) -> None:
    """Compared with the same manifests without them: anyone who may push can give any manifest such tags."""
    pairs = zip(parse_policies(policies), json.loads(policies), strict=True)
    rules = json.dumps([each for rule, each in pairs if not rule.deletes or rule.condition.applies_to_tags])
    before = kept(nodes, rules)
    more = tuple(sorted(tags))
    for each in nodes:
        if each.digest in before and each.created < NOW - timedelta(days=1):
            named = replace(each, tags=(*each.tags, *more), late_tags=(*each.late_tags, *more))
            assert each.digest in kept([named if other is each else other for other in nodes], rules)


@EXAMPLES
@given(graphs(), files(), running, st.randoms())
def test_no_order_matters(nodes: list[Node], policies: str, runs: dict[str, str], chance: random.Random) -> None:
    before = decisions(nodes, policies, runs)
    chance.shuffle(nodes)
    assert decisions(nodes, policies, runs) == before
    rules = json.loads(policies)
    chance.shuffle(rules)
    assert kept(nodes, json.dumps(rules), runs) == {each for each, verdict in before.items() if verdict.kept}


@EXAMPLES
@given(graphs(), st.sets(st.sampled_from([digest(name) for name in NAMES])))
def test_holders_stand_before_what_they_hold(nodes: list[Node], some: set[str]) -> None:
    graph = Graph(nodes)
    some = set(graph.reachable(some & set(graph.nodes)))
    order = [each for group in graph.deletion_groups(some) for each in group]
    assert sorted(order) == sorted(some)
    below = {each: graph.reachable([each]).keys() for each in some}
    rings = {each for each in some for other in below[each] if other != each and each in graph.reachable([other])}
    for at, each in enumerate(order):
        if not any(each in below[ring] for ring in rings):
            assert not any(other in graph.reachable([each]) for other in order[:at])


@EXAMPLES
@given(graphs(), files())
def test_immutable_tags_go_only_where_it_is_said(nodes: list[Node], policies: str) -> None:
    strict = json.dumps([each | {"immutableTags": False} for each in json.loads(policies)])
    stay = kept(nodes, strict)
    assert all(each.digest in stay for each in nodes if each.immutable_tags)


def test_a_long_chain_and_a_wide_index_are_decided_without_recursion() -> None:
    chain = [node(f"c{number}", children=[f"c{number + 1}"]) for number in range(5_000)]
    wide = node("wide", "v1", children=[f"w{number}" for number in range(5_000)])
    parts = [node(f"w{number}", pulled=NOW) for number in range(5_000)]
    policies = '[{"name": "u", "action": {"type": "Delete"}, "condition": {"tagState": "untagged"}}]'
    assert kept([*chain, wide, *parts], policies) == {each.digest for each in (wide, *parts)}
