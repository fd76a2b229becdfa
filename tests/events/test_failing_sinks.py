"""Sinks that are down, that refuse a repository, or have a defect: nothing is lost, and others go on."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest

from lading.events import publisher
from lading.events.publisher import PAGE, Publisher
from lading.events.sink import Outcome
from lading_storage.errors import Conflict
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import MetadataStore, Write
from lading_storage.query import Query
from lading_storage.records.events import Event, PublishedEvent, StalledRepository
from tests.events.outbox_events import event, in_order, names, put, waiting
from tests.events.recording_sink import RecordingSink, down, refusing
from tests.support.fake_clock import FakeClock


def test_a_sink_that_is_down_gets_nothing_and_others_get_all_once(outbox: MetadataStore, clock: FakeClock) -> None:
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = down
    publisher = Publisher(outbox, [one, two], clock)
    events = [*put(outbox, *(event(number, f"r{number % 5}") for number in range(3 * PAGE)))]

    for number in range(1000, 1003):
        events += put(outbox, event(number, "r0"))
        report = publisher.run()
        assert report.down == {"two": "it is down"}
        assert sorted(one.names) == sorted(names(events)), "each once"
        assert report.waiting == len(waiting(outbox)) == len(events)
        assert two.calls == 1, "it is left alone for a second"
    assert {each.sent for each in waiting(outbox)} == {("one",)}
    assert report.oldest == events[0].moved

    two.plan = lambda events: None
    clock.advance(minutes=2)
    publisher.run()
    assert sorted(two.names) == sorted(names(events))
    assert sorted(one.names) == sorted(names(events))
    assert in_order(two.received)
    assert waiting(outbox) == []


def test_the_pauses_of_a_sink_that_stays_down_grow_to_a_minute(outbox: MetadataStore, clock: FakeClock) -> None:
    sink = RecordingSink()
    sink.plan = down
    publisher = Publisher(outbox, [sink], clock)
    put(outbox, event())
    for _ in range(600):
        publisher.run()
        clock.advance(seconds=1)
    assert 10 + 6 <= sink.calls <= 20 + 12, "ten minutes: 2^n seconds up to one minute, of which half or more"


def test_what_a_sink_accepted_before_it_went_down_is_not_sent_again(outbox: MetadataStore, clock: FakeClock) -> None:
    events = put(outbox, *(event(number) for number in range(10)))
    sink = RecordingSink()
    sink.plan = lambda events: Outcome({each.name for each in events[:4]}, down="503")
    publisher = Publisher(outbox, [sink], clock)
    assert publisher.run().waiting == 6
    assert names(waiting(outbox)) == names(events[4:])

    sink.plan = lambda events: None
    clock.advance(minutes=2)
    publisher.run()
    assert sink.names == names(events)


@pytest.mark.parametrize("fault", ["raises", "ignores"])
def test_a_sink_with_a_defect_is_down(fault: str, outbox: MetadataStore, clock: FakeClock) -> None:
    put(outbox, event(1), event(2))
    bad, good = RecordingSink("bad"), RecordingSink("good")

    def plan(events: Sequence[Event]) -> Outcome:
        if fault == "raises":
            raise ZeroDivisionError
        return Outcome({events[1].name})

    bad.plan = plan
    report = Publisher(outbox, [bad, good], clock).run()
    assert report.down.keys() == {"bad"}
    assert len(good.received) == 2
    assert len(waiting(outbox)) == 2 - len(bad.received)


def test_a_refused_repository_waits_alone_and_comes_back(outbox: MetadataStore, clock: FakeClock) -> None:
    # The same range of the outbox, so that the refused one is in front.
    bad, good = "team/app", next(name for n in range(99) if event(0, name := f"r{n}").id[0] == event().id[0])
    first = put(outbox, event(0, bad), event(1, bad), event(2, good))
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = refusing(bad)
    publisher = Publisher(outbox, [one, two], clock)

    report = publisher.run()
    assert report.stalled == {bad: "400"}
    assert names(one.received) == names(first)
    assert [each.target for each in two.received] == [good]
    (record,) = outbox.find(Query(StalledRepository, limit=9))
    assert (record.id, record.sinks, record.attempts, record.error) == (bad, ("two",), 1, "two: 400")
    assert timedelta(seconds=30) <= record.next - clock.time <= timedelta(minutes=1)

    later = put(outbox, event(3, bad), event(4, good))
    calls = two.calls
    assert publisher.run().stalled == {}
    assert two.calls == calls + 1, "for the other repository"
    assert names(one.received) == names([*first, *later])
    assert [each.target for each in two.received] == [good, good]

    clock.advance(minutes=2)
    publisher.run()
    (record,) = outbox.find(Query(StalledRepository, limit=9))
    assert (record.attempts, record.since) == (2, clock.time - timedelta(minutes=2))
    assert timedelta(minutes=1) <= record.next - clock.time <= timedelta(minutes=2)

    two.plan = lambda events: None
    clock.advance(hours=1)
    publisher.run()
    assert outbox.find(Query(StalledRepository, limit=9)) == []
    assert waiting(outbox) == []
    assert sorted(two.names) == sorted(one.names)
    assert in_order(two.received)


@pytest.mark.parametrize("plan", [down, refusing("team/app")])
def test_what_waits_for_a_sink_holds_up_no_other_however_much_it_is(
    plan: Callable[[Sequence[Event]], Outcome],
    outbox: MetadataStore,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Past what one query reads of unsettled events, the others receive the rest when these are settled."""
    monkeypatch.setattr(publisher, "MAX_FRONT", 2 * PAGE)
    old = put(outbox, *(event(number, moved=clock.time - timedelta(minutes=3)) for number in range(5 * PAGE)))
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = plan
    running = Publisher(outbox, [one, two], clock)

    assert running.run().waiting == len(old)
    assert one.names == names(old)

    young = put(outbox, *(event(number, moved=clock.time) for number in range(5 * PAGE)))
    running.run()
    assert len(old) < len(one.names) < len(old) + len(young)
    clock.advance(minutes=3)
    report = running.run()
    assert one.names == names([*old, *young])
    assert (report.waiting, report.oldest) == (len(old) + len(young), old[0].moved)

    two.plan = lambda events: None
    clock.advance(hours=1)
    running.run()
    assert two.names == one.names == names([*old, *young])
    assert waiting(outbox) == []


class ConflictOnce(ForwardingMetadata):
    """A store whose first commit loses a race."""

    lost = False

    def commit(self, writes: Sequence[Write]) -> None:
        if not self.lost:
            self.lost = True
            raise Conflict("another publisher was faster")
        super().commit(writes)


def test_a_repository_that_is_refused_gets_nothing_later_in_the_same_run(
    outbox: MetadataStore, clock: FakeClock
) -> None:
    """Even where the commit that would record it fails, and the topic would accept what comes later."""
    events = put(outbox, *(event(number) for number in range(PAGE + 50)))
    sink = RecordingSink()
    sink.plan = lambda events: refusing("team/app")(events) if sink.calls == 1 else None
    Publisher(ConflictOnce(outbox), [sink], clock).run()
    assert sink.received == []

    Publisher(outbox, [sink], clock).run()
    assert sink.names == names(events)


def test_a_repository_that_only_a_former_sink_refused_is_forgotten(outbox: MetadataStore, clock: FakeClock) -> None:
    put(outbox, event())
    sink = RecordingSink("former")
    sink.plan = refusing("team/app")
    Publisher(outbox, [sink], clock).run()
    Publisher(outbox, [RecordingSink("new")], clock).run()
    assert (waiting(outbox), outbox.find(Query(StalledRepository, limit=9))) == ([], [])


def test_what_only_a_former_sink_lacks_is_finished(outbox: MetadataStore, clock: FakeClock) -> None:
    """Also where no sink wants anything, so that a topic that was down and is given up leaves nothing to expire."""
    put(outbox, event())
    one, former = RecordingSink("one"), RecordingSink("former")
    former.plan = down
    Publisher(outbox, [one, former], clock).run()

    report = Publisher(outbox, [one], clock).run()
    assert (waiting(outbox), report.waiting) == ([], 0)
    assert [each.name for each in outbox.find(Query(PublishedEvent, limit=9))] == one.names
    assert len(one.names) == 1
