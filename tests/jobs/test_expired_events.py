"""Expiry of events, by collection: what no topic or webhook has taken for a week, at a cost that follows the change."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.jobs.job_report import RACE_LOST, JobReport
from lading.registry.events.outbox import range_of
from lading.registry.pagination import scan_all
from lading.registry.registry import Registry
from lading_storage.protocols import Create, Replace, Write
from lading_storage.records.events import EVENT_RANGES, Event, StalledRepository
from lading_storage.stores import Stores
from tests.events.outbox_events import event
from tests.jobs.counting_store import CountingStore
from tests.support.fake_clock import FakeClock
from tests.support.store_hooks import hooked_registry

KEEP = timedelta(days=7)
MINUTE = timedelta(minutes=1)
EXPIRED, KEPT = "events expired", "events kept: a topic refuses their repository"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def collect(registry: Registry, clock: FakeClock) -> JobReport:
    report = Collector(registry, GracePeriods(events=KEEP), clock=clock).run()
    assert report is not None
    assert report.finished
    assert report.findings == []
    return report


def add(stores: Stores, events: Sequence[Event]) -> None:
    for start in range(0, len(events), 100):
        stores.metadata.commit([Create(each) for each in events[start : start + 100]])


def ids(stores: Stores) -> set[str]:
    return {each.id for each in scan_all(stores.metadata, Event)}


def one_in_each_range() -> list[str]:
    """Return a repository for each range of the outbox."""
    found = {range_of(name): name for name in map("team/app{}".format, range(500))}
    assert sorted(found) == sorted(EVENT_RANGES)
    return [*found.values()]


def test_an_event_expires_once_its_time_is_over(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    old = [event(each, moved=clock.time - KEEP - MINUTE) for each in range(250)]
    old += [event(repository=name, moved=clock.time - KEEP - MINUTE) for name in one_in_each_range()]
    young = [event(repository=name, moved=clock.time - KEEP + MINUTE) for name in one_in_each_range()]
    add(stores, [*old, *young])

    assert collect(registry, clock).counts[EXPIRED] == len(old)
    assert ids(stores) == {each.id for each in young}

    clock.advance(minutes=2)
    assert collect(registry, clock).counts[EXPIRED] == len(young)
    assert ids(stores) == set()


def test_a_replayed_event_expires_by_the_time_of_the_replay(
    registry: Registry, stores: Stores, clock: FakeClock
) -> None:
    old = clock.time - 9 * KEEP
    replayed = [replace(event(each, moved=old), replayed_at=clock.time) for each in range(3)]
    add(stores, [*replayed, event(9, moved=old)])

    assert collect(registry, clock).counts[EXPIRED] == 1
    clock.advance(days=7)
    assert collect(registry, clock).counts["events kept: they were replayed"] == 3
    assert ids(stores) == {each.id for each in replayed}
    clock.advance(minutes=1)
    assert collect(registry, clock).counts[EXPIRED] == 3
    assert ids(stores) == set()


def test_events_of_a_refused_repository_do_not_expire(registry: Registry, stores: Stores, clock: FakeClock) -> None:
    time = clock.time - 2 * KEEP
    kept = [event(each, "refused", moved=time) for each in range(150)]
    add(stores, [*kept, *(event(each, name, moved=time) for each, name in enumerate(one_in_each_range()))])
    stalled = StalledRepository(id="refused", attempts=3, since=time, next=clock.time, error="too large")
    stores.metadata.commit([Create(stalled)])

    counts = collect(registry, clock).counts

    assert (counts[EXPIRED], counts[KEPT]) == (len(EVENT_RANGES), len(kept))
    assert ids(stores) == {each.id for each in kept}


def test_where_nothing_is_due_the_fronts_of_the_ranges_are_all_it_reads(stores: Stores, clock: FakeClock) -> None:
    counting = CountingStore(stores.metadata)
    registry = Registry(stores.blobs, counting, clock=clock)
    collect(registry, clock)
    counting.counts.clear()
    collect(registry, clock)
    empty = counting.counts.copy()
    for name in one_in_each_range():
        add(stores, [event(each, name, moved=clock.time) for each in range(30)])
    counting.counts.clear()

    collect(registry, clock)

    # One query finds that there is no event at all.
    assert counting.counts["query"] - empty["query"] == len(EVENT_RANGES)
    assert counting.counts["listed"] - empty["listed"] == len(EVENT_RANGES)
    assert counting.counts["read"] == empty["read"]
    assert counting.counts["written"] == empty["written"]


def test_an_event_that_a_publisher_changes_meanwhile_is_left_to_the_next_run(stores: Stores, clock: FakeClock) -> None:
    events = [event(each, moved=clock.time - KEEP - MINUTE) for each in range(3)]
    add(stores, events)

    def publish_first(method: str, arguments: object, forward: object) -> object:
        writes: Sequence[Write] = arguments["writes"] if method == "commit" else ()  # type: ignore[index]
        found = stores.metadata.read([events[1].key])[events[1].key]
        if any(getattr(write, "record", None) == events[1] for write in writes) and found and not found.sent:
            stores.metadata.commit([Replace(replace(found, sent=("topic",)))])
        return forward()  # type: ignore[operator]

    counts = collect(hooked_registry(stores, publish_first, clock=clock), clock).counts  # type: ignore[arg-type]

    assert counts[RACE_LOST] == 1
    assert ids(stores) == {events[1].id}
