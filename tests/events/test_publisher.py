"""The publisher: nothing lost, the order kept, and what is down or refused holds up nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from lading.events import published, publisher
from lading.events.publisher import MAX_RACES, PAGE, Publisher
from lading.events.sink import Outcome
from lading_storage.errors import Unavailable
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Create, MetadataStore, Write
from lading_storage.query import Query
from lading_storage.records.events import DEAD, Delivery, Event, PublishedEvent
from tests.events.outbox_events import event, in_order, names, put, waiting
from tests.events.recording_sink import RecordingSink, down
from tests.jobs.counting_store import CountingStore
from tests.support.fake_clock import FakeClock


def test_all_sinks_receive_all_events_once_and_readers_find_them(outbox: MetadataStore, clock: FakeClock) -> None:
    events = put(outbox, *(event(number, f"team/{number % 9}") for number in range(250)))
    one, two = RecordingSink("one"), RecordingSink("two")

    report = Publisher(outbox, [one, two], clock).run()

    assert sorted(one.names) == sorted(two.names) == sorted(names(events))
    assert in_order(one.received)
    assert in_order(two.received)
    assert waiting(outbox) == []
    published = outbox.find(Query(PublishedEvent, limit=1000))
    assert sorted(names(published)) == sorted(names(events))
    assert {each.published for each in published} == {clock.time}
    assert in_order(published)
    assert (report.as_json()["published"], report.waiting, report.finished) == (250, 0, True)


def test_without_sinks_events_are_only_for_readers(outbox: MetadataStore, clock: FakeClock) -> None:
    put(outbox, event())
    Publisher(outbox, [], clock).run()
    assert (len(waiting(outbox)), len(outbox.find(Query(PublishedEvent, limit=9)))) == (0, 1)


def test_what_a_slow_sink_delays_is_published_when_it_is_committed(outbox: MetadataStore, clock: FakeClock) -> None:
    """Readers allow for two minutes from the time of publication until the event is visible."""
    sink = RecordingSink()

    def take_five_minutes(events: Sequence[Event]) -> None:
        clock.advance(minutes=5)

    sink.plan = take_five_minutes
    put(outbox, event())
    Publisher(outbox, [sink], clock).run()
    (published,) = outbox.find(Query(PublishedEvent, limit=9))
    assert published.published == clock.time


class Interrupted(ForwardingMetadata):
    """A store whose commits fail: before or after they are written."""

    def __init__(self, inner: MetadataStore, written: bool) -> None:
        super().__init__(inner)
        self.written = written

    def commit(self, writes: Sequence[Write]) -> None:
        if self.written:
            super().commit(writes)
        raise Unavailable("killed")


@pytest.mark.parametrize("written", [False, True], ids=["before the commit", "after it"])
def test_a_publisher_that_dies_loses_nothing(written: bool, outbox: MetadataStore, clock: FakeClock) -> None:
    events = put(outbox, *(event(number) for number in range(10)))
    sink = RecordingSink()
    with pytest.raises(Unavailable):
        Publisher(Interrupted(outbox, written), [sink], clock).run()
    Publisher(outbox, [sink], clock).run()

    expected = names(events)
    assert sink.names == (expected if written else expected + expected), "duplicates have the same ids"
    assert waiting(outbox) == []


def test_two_publishers_only_produce_duplicates(outbox: MetadataStore, clock: FakeClock) -> None:
    events = put(outbox, *(event(number, f"r{number % 7}") for number in range(150)))
    outer, inner = RecordingSink("one"), RecordingSink("one")
    other = Publisher(outbox, [inner], clock)

    def plan(events: Sequence[Event]) -> None:
        # The other one publishes everything between this one's publication and its commit.
        other.run()

    outer.plan = plan
    report = Publisher(outbox, [outer], clock).run()

    assert sorted(inner.names) == sorted(names(events))
    assert set(outer.names) <= set(names(events))
    assert in_order(outer.received)
    assert report.counts["races lost"] == 1
    assert (waiting(outbox), report.waiting) == ([], 0)
    assert len(outbox.find(Query(PublishedEvent, limit=1000))) == len(events)


def test_a_commit_that_always_conflicts_does_not_hold_up_other_repositories(
    outbox: MetadataStore, clock: FakeClock
) -> None:
    stuck, free = event(0, "team/app"), event(0, "other/app")
    put(outbox, stuck, free)
    exists = Delivery(
        id="d", webhook="w", event="e", type="t", target="r", body="", next=clock.time, created=clock.time, state=DEAD
    )
    outbox.commit([Create(exists)])
    sink = RecordingSink()
    sink.plan = lambda events: Outcome(
        {each.name for each in events}, writes=[Create(exists)] if stuck in events else []
    )
    report = Publisher(outbox, [sink], clock).run()
    assert names(waiting(outbox)) == [stuck.name]
    assert report.counts["races lost"] <= 3 * MAX_RACES


def test_a_range_is_read_from_its_front_each_time(outbox: MetadataStore, clock: FakeClock) -> None:
    """An event whose time is older than what was read already becomes visible while a page is published."""
    events = put(outbox, *(event(10 + number) for number in range(2 * PAGE)))
    late, sink = event(1), RecordingSink()

    def plan(events: Sequence[Event]) -> None:
        if sink.calls == 1:
            put(outbox, late)

    sink.plan = plan
    Publisher(outbox, [sink], clock).run()
    assert sink.names == names([*events[:PAGE], late, *events[PAGE:]]), "before what was not read yet"


def test_events_wait_in_front_of_others_of_their_range_in_one_query(outbox: MetadataStore, clock: FakeClock) -> None:
    """What waits for a sink that is down is read past from the front, in one query, and not by a cursor."""
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = down
    publisher = Publisher(outbox, [one, two], clock)
    put(outbox, *(event(number) for number in range(5 * PAGE)))
    publisher.run()
    late, last = event(5 * PAGE), event(5 * PAGE + 1)
    put(outbox, last, late)
    counting = CountingStore(outbox)
    publisher._metadata = counting
    publisher.run()
    assert one.names[-2:] == names([late, last])
    assert counting.counts["listed"] < 4 * 5 * PAGE, "by pages that double"


def test_a_new_publisher_begins_with_the_range_that_a_trigger_names(outbox: MetadataStore, clock: FakeClock) -> None:
    events = put(outbox, *(event(number, f"r{number}") for number in range(PAGE + 30)))
    chosen, sink = events[17], RecordingSink()

    Publisher(outbox, [sink], clock).run(first=chosen.id[0])

    assert sink.received[0].id[0] == chosen.id[0]
    assert sorted(sink.names) == sorted(names(events))


def test_a_run_ends_after_the_page_in_which_it_is_stopped(outbox: MetadataStore, clock: FakeClock) -> None:
    put(outbox, *(event(number) for number in range(3 * PAGE)))
    sink = RecordingSink()
    publisher = Publisher(outbox, [sink], clock)
    stop: Callable[[Any], None] = lambda events: publisher.stop()  # noqa: E731  # a plan
    sink.plan = stop
    publisher.run()
    assert len(sink.received) == PAGE
    assert len(waiting(outbox)) == 2 * PAGE


def test_an_idle_run_is_one_small_query(outbox: MetadataStore, clock: FakeClock) -> None:
    sink = RecordingSink()
    counting = CountingStore(outbox)
    publisher = Publisher(counting, [sink], clock)
    put(outbox, event())
    publisher.run()
    counting.counts.clear()

    publisher.run()

    assert dict(counting.counts) == {"query": 1, "listed": 0}
    assert sink.calls == 1


def test_the_cost_of_a_page_is_a_query_a_read_and_a_commit(outbox: MetadataStore, clock: FakeClock) -> None:
    counting = CountingStore(outbox)
    publisher = Publisher(counting, [RecordingSink()], clock)
    publisher.run()
    put(outbox, *(event(number) for number in range(50)))
    counting.counts.clear()

    publisher.run()

    assert dict(counting.counts) == {"query": 1, "listed": 50, "read": 1, "written": 100}


def test_published_events_are_kept_for_longer_than_they_are_readable(outbox: MetadataStore, clock: FakeClock) -> None:
    put(outbox, *(event(number) for number in range(150)))
    Publisher(outbox, [], clock).run()
    clock.advance(minutes=64)
    put(outbox, event(1000))
    Publisher(outbox, [], clock).run()
    assert len(outbox.find(Query(PublishedEvent, limit=1000))) == 151

    clock.advance(minutes=1)
    counting = CountingStore(outbox)
    Publisher(counting, [], clock).run()
    assert names(outbox.find(Query(PublishedEvent, limit=1000))) == [event(1000).name]
    assert counting.counts["written"] == 150


def test_runs_forget_published_events_as_fast_as_they_come(
    outbox: MetadataStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run forgets some at most, and the next one goes on at once, not after a minute."""
    for module in (published, publisher):
        monkeypatch.setattr(module, "MAX_FORGOTTEN", PAGE)
    put(outbox, *(event(number) for number in range(3 * PAGE)))
    running = Publisher(outbox, [], clock)
    running.run()
    clock.advance(hours=2)
    monkeypatch.setattr(running, "_forgets_at", 0.0)

    left = [running.run() and len(outbox.find(Query(PublishedEvent, limit=1000))) for _ in range(3)]
    assert left == [2 * PAGE, PAGE, 0]


def test_a_run_reads_one_published_event_where_none_is_old(outbox: MetadataStore, clock: FakeClock) -> None:
    put(outbox, *(event(number) for number in range(50)))
    Publisher(outbox, [], clock).run()
    counting = CountingStore(outbox)

    Publisher(counting, [], clock).run()

    assert dict(counting.counts) == {"query": 2, "listed": 1}
