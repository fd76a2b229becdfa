"""A version goes by its tags where policies delete each of them; where they delete some, these alone go."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lading import cli
from lading.jobs import cleanup
from lading.jobs.cleanup import CleanupContext
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.cleanup.policies import Policy
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.records.core import Manifest
from lading_storage.stores import Stores
from tests.cleanup.manifest_nodes import decisions, digest, kept, node, referrer_tag
from tests.commands.tables import json_rows
from tests.support.fake_clock import FakeClock
from tests.support.registry_pushes import push_image, push_manifest


def rule(name: str, *prefixes: str, action: str = "Delete", **more: object) -> dict[str, object]:
    return {"name": name, "action": {"type": action}, "condition": {"tagPrefixes": prefixes}} | more


PR = rule("pr", "pr-")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def policies(*rules: dict[str, object]) -> tuple[Policy, ...]:
    return tuple(parse_policies(json.dumps(rules or [PR])))


def planned(registry: Registry, clock: FakeClock, *rules: dict[str, object]) -> cleanup.Plan:
    return cleanup.plan(registry, "a", CleanupContext(policies(*rules), [], clock()))


def tags(registry: Registry) -> list[str]:
    return [*registry.tags.names("a", "", 100).items]


def lives(registry: Registry, manifest: Manifest) -> bool:
    return registry.metadata.read([manifest.key])[manifest.key] is not None


def test_only_the_tag_goes_that_a_pusher_gave_another_version(registry: Registry, clock: FakeClock) -> None:
    deployed, own = push_image(registry, "a", "prod"), push_image(registry, "a", "pr-2", "pr-3")
    push_manifest(registry, "a", deployed.content or b"", "pr-1")
    made = planned(registry, clock)
    assert [(each.tag, each.node.digest, each.policy) for each in made.tag_deletions] == [
        ("pr-1", deployed.digest, "pr")
    ]
    assert dict(made.policy_by_digest) == {own.digest: "pr"}

    report = cleanup.apply(registry, made)

    assert (report.kept, report.deleted, report.changed, report.tags_by_policy) == (1, 1, 0, {"pr": 1})
    assert tags(registry) == ["prod"]
    assert lives(registry, deployed)
    assert not lives(registry, own)
    moves = registry.tags.history("a", "pr-1", "", 9).items
    assert [(move.action, move.by, move.before) for move in moves] == [
        ("clean-up", "policy pr", deployed.digest),
        ("push", "", ""),
    ]
    registry.undelete.tag("a", "pr-1")
    assert tags(registry) == ["pr-1", "prod"]


def test_tags_of_several_policies_and_in_several_commits_all_go(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.registry.batches.batches.__defaults__", (2,))
    image = push_image(registry, "a", "prod", *(f"{kind}-{number}" for kind in ("pr", "dev") for number in range(3)))

    report = cleanup.apply(registry, planned(registry, clock, PR, rule("dev", "dev-")))

    assert (report.tags_by_policy, report.changed) == ({"pr": 3, "dev": 3}, 0)
    assert tags(registry) == ["prod"]
    assert lives(registry, image)


def _push_again(registry: Registry, image: Manifest) -> None:
    push_manifest(registry, "a", image.content or b"", "another")


def _move(registry: Registry, image: Manifest) -> None:
    push_image(registry, "a", "pr-1")


def _pull(registry: Registry, image: Manifest) -> None:
    registry.last_pulls.record_pull("a", image.digest)


@pytest.mark.parametrize("meanwhile", [_push_again, _move, _pull])
def test_a_tag_stays_whose_version_changes_after_the_look(
    registry: Registry, clock: FakeClock, meanwhile: Callable[[Registry, Manifest], None]
) -> None:
    image, other = push_image(registry, "a", "prod", "pr-1"), push_image(registry, "a", "main", "pr-2")
    made = planned(registry, clock)
    meanwhile(registry, image)

    report = cleanup.apply(registry, made)

    assert (report.tags_by_policy, report.changed) == ({"pr": 1}, 1)
    assert "pr-1" in tags(registry)
    assert "pr-2" not in tags(registry)
    assert lives(registry, other)


def test_who_is_stopped_among_tags_goes_on(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lading.registry.batches.batches.__defaults__", (1,))
    push_image(registry, "a", "prod", "pr-1", "pr-2")

    report = cleanup.apply(registry, planned(registry, clock), stop=lambda: True)

    assert (report.done, report.tags_by_policy) == (False, {"pr": 1})
    assert cleanup.apply(registry, planned(registry, clock), stop=lambda: True).done
    assert tags(registry) == ["prod"]


@pytest.mark.parametrize("applied", [True, False])
def test_collection_counts_tags_that_go_alone(registry: Registry, clock: FakeClock, applied: bool) -> None:
    push_image(registry, "a", "prod", "pr-1")
    cleaning = cleanup.in_collection(registry, policies(), applied, clock)

    report = Collector(registry, GracePeriods(), cleaning, clock).run()

    assert report
    assert report.counts[f"tags {'deleted' if applied else 'would be deleted'} by policy pr"] == 1
    assert tags(registry) == (["prod"] if applied else ["pr-1", "prod"])


def test_the_command_tells_and_deletes_tags_that_go_alone(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, plan = push_image(registry, "a", "prod", "pr-1"), tmp_path / "plan"
    options = ("--cleanup", json.dumps([PR]))

    def run(*words: str) -> str:
        assert cli.main(["cleanup", *words, *options]) == 0
        return capsys.readouterr().out

    assert run("plan").splitlines() == [
        "ACTION  MANIFEST               TAGS       FREES  WHY",
        f"keep    a@{image.digest[:19]}  pr-1,prod      -  policies delete only some of its tags;"
        " deletes tag pr-1: policy 'pr'",
        "a: keeps 1, deletes 0, frees 0 B, deletes 1 tag alone",
    ]
    plan.write_text(run("plan", "--json"))
    push_manifest(registry, "a", image.content or b"", "pr-2")
    assert json_rows(run("apply", str(plan), "--yes", "--json")) == [
        {"repository": "a", "deleted": 0, "kept": 1, "skipped": 1, "tags": 1}
    ]
    assert tags(registry) == ["pr-2", "prod"]


def test_immutable_tags_go_alone_only_by_a_rule_that_says_so(stores: Stores, clock: FakeClock) -> None:
    registry = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["a:pr-1", "a:prod"])), clock)
    image = push_image(registry, "a", "prod", "pr-1", "pr-2")

    cleanup.apply(registry, planned(registry, clock))
    assert tags(registry) == ["pr-1", "prod"]
    cleanup.apply(registry, planned(registry, clock, PR, rule("expire", "pr-1", immutableTags=True)))
    assert tags(registry) == ["prod"]
    assert lives(registry, image)


def gone_tags(*rules: dict[str, object]) -> dict[str, str]:
    return dict(decisions([node("a", "prod", "pr-1")], json.dumps(rules or [PR]))[digest("a")].tags)


def test_what_keeps_a_version_keeps_its_tags() -> None:
    keeps = rule("keep", "pro", action="Keep")
    assert gone_tags() == {"pr-1": "pr"}
    assert gone_tags(PR, keeps) == {}
    assert gone_tags(PR, {"name": "n", "action": {"type": "Keep"}, "mostRecentVersions": {"keepCount": 1}}) == {}
    runs = decisions([node("a", "prod", "pr-1")], json.dumps([PR]), {digest("a"): "in cluster-1"})
    assert runs[digest("a")].tags == ()
    index = [node("i", "v1", children=["a"]), node("a", "prod", "pr-1")]
    assert decisions(index, json.dumps([PR, rule("keep", "v", action="Keep")]))[digest("a")].tags == ()


def test_a_version_goes_where_several_rules_delete_all_its_tags_together() -> None:
    rules = [PR, rule("dev", "dev-")]
    assert kept([node("a", "pr-1", "dev-1")], json.dumps(rules)) == set()
    immutable = [node("a", "pr-1", "dev-1", immutable_tags=("dev-1",))]
    assert kept(immutable, json.dumps([PR | {"immutableTags": True}, rules[1]])) == {digest("a")}


def test_a_rule_without_tags_means_the_whole_version() -> None:
    rules = json.dumps([PR, {"name": "old", "action": {"type": "Delete"}, "condition": {"olderThan": "30d"}}])
    assert kept([node("a", "prod", "pr-1")], rules) == set()


def test_a_tag_that_only_seems_to_attach_goes_alone_by_a_rule_for_such_tags() -> None:
    rules = json.dumps([rule("attached", "sha256-")])
    named = node("a", "prod", referrer_tag("gone", ".sig"), attachment="tag")
    verdict = decisions([named], rules)[named.digest]
    assert (verdict.kept, verdict.tags) == (True, ((referrer_tag("gone", ".sig"), "attached"),))
    alone = decisions([node("b", referrer_tag("gone", ".sig"), attachment="tag")], rules)[digest("b")]
    assert (alone.kept, alone.tags) == (True, ((referrer_tag("gone", ".sig"), "attached"),))
    assert kept([node("b", referrer_tag("gone", ".sig"), attachment=".sig")], rules) == set()
    assert kept([node("c", "pr-1", referrer_tag("gone", ".sig"), attachment="tag")], json.dumps([PR])) == set()
