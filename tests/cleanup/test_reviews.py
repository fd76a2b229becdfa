"""When clean-up looks at a repository: where something was pushed, when a verdict can change, and by new rules."""

import json
import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from lading import logs
from lading.jobs.cleanup import in_collection
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.cleanup.policies import Policy
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesDocument, Values, apply_configured
from lading.registry.rules.effective import LocalRules
from lading.registry.rules.immutable import ImmutableTags
from lading_storage.records.core import Key, Repository
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock
from tests.support.interleaving import InterleavingStore
from tests.support.registry_pushes import push_image

LOOKED = "repositories looked at by policies"


def old(age: str) -> tuple[Policy, ...]:
    rule = {"name": "old", "action": {"type": "Delete"}, "condition": {"tagPrefixes": ["pr-"], "olderThan": age}}
    return tuple(parse_policies(json.dumps([rule])))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def collect(registry: Registry, clock: FakeClock) -> Callable[..., Any]:
    def run(age: str = "10d", hours: float = 0, through: Registry = registry) -> dict[str, int]:
        clock.advance(hours=hours)
        report = Collector(through, GracePeriods(), in_collection(through, old(age), True, clock), clock).run()
        assert report is not None
        assert (report.finished, report.findings) == (True, [])
        return dict(report.counts)

    return run


def record(registry: Registry, name: str = "a") -> Repository:
    key = Key(Repository, name)
    found = registry.metadata.read([key])[key]
    assert found is not None
    return found


def tags(registry: Registry) -> list[str]:
    return list(registry.tags.names("a", "", 100).items)


def test_a_repository_is_looked_at_twice_and_then_when_a_verdict_can_change(
    registry: Registry, collect: Callable[..., dict[str, int]], clock: FakeClock
) -> None:
    pushed = clock.time
    push_image(registry, "a", "pr-1")
    assert collect()[LOOKED] == 1
    assert LOOKED not in collect(hours=0.5)
    assert collect(hours=0.5)[LOOKED] == 1
    review = record(registry).review
    assert review is not None
    assert timedelta(days=10) < review - pushed < timedelta(days=10, seconds=1)
    for _ in range(5):
        assert LOOKED not in collect(hours=24)
    assert tags(registry) == ["pr-1"]

    counts = collect(hours=24 * 5)

    assert counts["manifests deleted by policy old"] == 1
    assert tags(registry) == []


@pytest.mark.parametrize("change", ["push", "move", "delete", "roll back", "undelete", "delete the manifest"])
def test_whatever_changes_a_repository_lets_it_be_looked_at(
    registry: Registry, collect: Callable[..., dict[str, int]], clock: FakeClock, change: str
) -> None:
    first, second = push_image(registry, "a", "pr-1", "v1"), push_image(registry, "a", "v2", "v1")
    registry.tags.delete("a", "v2")
    for hours in (0, 1, 1):
        collect(hours=hours)
    before = record(registry)
    assert before.review is None or before.review > clock.time
    acts: dict[str, Callable[[], object]] = {
        "push": lambda: push_image(registry, "a"),
        "move": lambda: push_image(registry, "a", "v1"),
        "delete": lambda: registry.tags.delete("a", "v1"),
        "roll back": lambda: registry.rollback.to_digest("a", "v1", first.digest),
        "undelete": lambda: registry.undelete.tag("a", "v2"),
        "delete the manifest": lambda: registry.deletion.manifest("a", second.digest),
    }
    clock.advance(minutes=1)

    acts[change]()

    assert record(registry).review == clock.time
    assert collect()[LOOKED] == 1


def test_new_policies_and_reports_let_all_be_looked_at_once(
    registry: Registry, collect: Callable[..., dict[str, int]], clock: FakeClock
) -> None:
    for name in ("a", "b", "c"):
        push_image(registry, name, "pr-1")
    for hours in (0, 1, 1):
        collect(hours=hours)

    assert collect("2d", hours=1)[LOOKED] == 3
    for hours in (1, 1):
        collect("2d", hours=hours)
    registry.in_use_reports.report("here", ["a:pr-1"])
    assert collect("2d", hours=1)[LOOKED] == 3
    for hours in (1, 1):
        collect("2d", hours=hours)
    assert LOOKED not in collect("2d", hours=1)
    collect("2d", hours=72)
    assert tags(registry) == ["pr-1"]
    registry.in_use_reports.forget("here")
    assert collect("2d")["manifests deleted by policy old"] == 1


def test_the_stored_digest_of_the_rules_depends_on_no_names_of_the_source(stores: Stores, clock: FakeClock) -> None:
    """Another digest makes every repository due: it may change with what it covers, and not with another release."""
    immutable = ImmutableTags.parse(["prod/*:v*", "!prod/*:v*-rc*"])
    registry = Registry(stores.blobs, stores.metadata, LocalRules(immutable), clock)
    registry.in_use_reports.report("here", ["a:pr-1"])
    expected = "fff7b0e723aca36912db9a7e334414b8ac28ef24a1511b8f7824e4a5874bd898"
    assert in_collection(registry, old("10d"), True, clock).rules_digest() == expected
    others = (in_collection(registry, old("11d"), True, clock), in_collection(registry, old("10d"), False, clock))
    assert expected not in {each.rules_digest() for each in others}


def test_a_server_and_a_command_beside_it_have_the_same_digest_of_the_rules(stores: Stores, clock: FakeClock) -> None:
    """With digests of their own, each would make every repository due again for the other."""
    policies = json.dumps([{"name": "old", "action": {"type": "Delete"}, "condition": {"olderThan": "10d"}}])
    values: Values = {"immutable": ("prod/*:v*",), "cleanup": policies, "cleanup-mode": "apply"}
    apply_configured(stores.metadata, RulesDocument({REGISTRY: values}), "configuration", clock)
    server = Registry(stores.blobs, stores.metadata, clock=clock)
    same = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["prod/*:v*"])), clock)
    more = Registry(stores.blobs, stores.metadata, LocalRules(ImmutableTags.parse(["*:v*"])), clock)

    expected = in_collection(server, old("10d"), True, clock).rules_digest()

    assert in_collection(same, (), False, clock).rules_digest() == expected
    assert in_collection(more, (), False, clock).rules_digest() != expected


@pytest.mark.parametrize("point", range(12))
def test_a_push_in_the_middle_of_a_look_is_seen_by_a_later_one(
    stores: Stores, registry: Registry, collect: Callable[..., dict[str, int]], clock: FakeClock, point: int
) -> None:
    """A push between any two calls of a collection, first or second look, is judged in the end."""
    push_image(registry, "a", "v1")
    if point % 2:
        collect()
        clock.advance(hours=1)
    between = InterleavingStore(stores.metadata, point, lambda: push_image(registry, "a", "pr-1"))

    collect(through=Registry(stores.blobs, between, clock=clock))
    if "pr-1" not in tags(registry):
        pytest.skip("a collection makes fewer calls")
    for hours in (1, 1, 1, 24 * 10, 1):
        collect(hours=hours)

    assert tags(registry) == ["v1"]


def test_a_push_that_read_the_repository_before_the_look_is_seen_by_the_second(
    stores: Stores, registry: Registry, collect: Callable[..., dict[str, int]], clock: FakeClock
) -> None:
    push_image(registry, "a", "v1")
    clock.advance(days=20)
    looks = []

    def look() -> None:
        looks.append(collect()[LOOKED])

    # The last call of a push is its commit: the collection comes between its read and that.
    counting = InterleavingStore(stores.metadata)
    push_image(Registry(stores.blobs, counting, clock=clock), "a", "v2")
    late = InterleavingStore(stores.metadata, counting.calls - 1, look)
    push_image(Registry(stores.blobs, late, clock=clock), "a", "pr-1")

    assert looks == [1]
    for hours in (1, 1, 24 * 10, 1):
        collect(hours=hours)
    assert tags(registry) == ["v1", "v2"]


def test_a_slice_with_failures_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    report = {"finished": True, "freed_bytes": 5, "failed": 2}
    with caplog.at_level(logging.INFO, "lading.collect"):
        logging.getLogger("lading").propagate = True
        logs.log_collection(report)
        logs.log_collection(report | {"failed": 0})

    assert [each.levelname for each in caplog.records] == ["ERROR", "INFO"]
    assert "2 records failed" in caplog.records[0].getMessage()
