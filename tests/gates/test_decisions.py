"""Who is told of decisions: events, at most one an hour, and metrics; and exceptions, which are events as well."""

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from lading.events.cloud_event import cloud_event
from lading.registry.policies.decision_log import CountedDecision
from lading.registry.registry import Registry
from lading_storage.query import Query
from lading_storage.records.core import Manifest
from lading_storage.records.events import Event
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.policies import REPOSITORY, policy, pulled, refused_pull, set_policies, signed_by
from tests.support.registry_pushes import push_image
from tests.support.scan_results import finding, report_of, store_result
from tests.support.signatures import sign
from tests.support.store_hooks import Fault, hooked_registry

T = TypeVar("T")


@pytest.fixture
def clock() -> FakeClock:
    return TickingClock()


def events(registry: Registry, prefix: str = "policy.") -> list[Event]:
    """The events that are written, the oldest first."""
    registry.gates.close()
    found = registry.metadata.find(Query(Event, limit=1_000))
    return sorted((each for each in found if each.type.startswith(prefix)), key=lambda each: each.moved)


def data_of(event: Event) -> Mapping[str, Any]:
    data: Mapping[str, Any] = cloud_event(event, "https://r.example")["data"]
    return data


def test_a_refused_pull_is_one_event_an_hour(registry: Registry, image: Manifest, clock: FakeClock) -> None:
    set_policies(registry, policy(**signed_by()))
    for _ in range(3):
        refused_pull(registry, "v1", "node")
    (first,) = events(registry)
    assert (first.type, first.digest, first.by, first.action) == ("policy.denied", image.digest, "node", "pull")
    assert data_of(first)["policy"] == "prod"
    assert data_of(first)["reason"] == "it is not signed by key0"

    refused_pull(registry, "v1", "other")
    clock.advance(hours=1)
    refused_pull(registry, "v1", "node")
    assert [each.by for each in events(registry)] == ["node", "other", "node"]
    assert len({each.name for each in events(registry)}) == 3


def test_what_is_audited_or_exempt_is_an_event_and_what_passes_is_none(registry: Registry, image: Manifest) -> None:
    set_policies(registry, policy("a", **signed_by()) | {"mode": "audit"}, policy("b", exempt=["bot"], **signed_by()))
    pulled(registry, "v1", "bot")
    assert {(each.type, each.action, data_of(each)["policy"]) for each in events(registry)} == {
        ("policy.denied", "audit", "a"),
        ("policy.exempted", "pull", "b"),
    }

    other = push_image(registry, REPOSITORY, "v2")
    sign(registry, other)
    pulled(registry, "v2")
    assert len(events(registry)) == 2


def test_events_of_an_image_sort_between_its_changes(registry: Registry, image: Manifest, clock: FakeClock) -> None:
    set_policies(registry, policy(**signed_by()))
    refused_pull(registry, "v1")
    registry.gates.close()
    clock.time -= timedelta(minutes=5)  # another process, whose clock is late
    registry.deletion.manifest(REPOSITORY, image.digest)

    of_image = [each for each in events(registry, "") if each.digest == image.digest and not each.tag]
    order = [each.type for each in sorted(of_image, key=lambda each: each.sequence)]
    assert order == ["image.pushed", "policy.denied", "image.deleted"]


def test_an_event_delays_no_response_and_its_failure_refuses_none(
    registry: Registry, stores: Stores, image: Manifest, clock: FakeClock
) -> None:
    set_policies(registry, policy(**signed_by()))
    responded = threading.Event()

    def wait(method: str, arguments: Mapping[str, Any], forward: Callable[[], T], /) -> T:
        if method == "commit" and any(isinstance(getattr(each, "record", None), Event) for each in arguments["writes"]):
            assert responded.wait(30), "the response waits for the event"
        return forward()

    slow = hooked_registry(stores, wait, clock=clock)
    slow.last_pulls.stop()
    assert refused_pull(slow, "v1") != ""
    responded.set()
    assert len(events(slow)) == 1

    set_policies(registry, policy(image={"maxAge": "1m"}))
    clock.advance(minutes=2)
    failing = hooked_registry(stores, Fault("commit"), clock=clock)
    assert refused_pull(failing, "v1") != ""
    failing.gates.close()
    assert len(events(registry)) == 1


def test_a_scan_is_an_event_where_it_says_something_else(registry: Registry, image: Manifest) -> None:
    store_result(registry, REPOSITORY, image.digest, report_of(image.digest))
    store_result(registry, REPOSITORY, image.digest, report_of(image.digest))
    store_result(registry, REPOSITORY, image.digest, report_of(image.digest, [finding("high")]))

    scans = [data_of(each)["scan"] for each in events(registry, "image.scanned")]
    assert scans == [
        {"state": "done", "counts": {}},
        {"state": "done", "counts": {"high": [0, 1]}},
    ]


def test_decisions_are_counted(registry: Registry, image: Manifest) -> None:
    counted: list[CountedDecision] = []
    registry.gates.on_decision = counted.append
    set_policies(registry, policy("a", **signed_by()), policy("b", **signed_by()) | {"mode": "audit"})

    refused_pull(registry, "v1")
    sign(registry, image)
    pulled(registry, "v1")

    assert counted == [
        ("a", "enforce", "denied"),
        ("b", "audit", "audited"),
        ("a", "enforce", "allowed"),
        ("b", "audit", "allowed"),
    ]
