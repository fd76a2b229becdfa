"""What waits for a sink that is down, or for a repository that one refuses, is read once, and retried in order."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

import pytest

from lading.events import backlog, publisher
from lading.events.publisher import Publisher
from lading.events.sink import Outcome
from lading_storage.protocols import Delete, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import EVENT_RANGES, Event, StalledRepository
from tests.events.outbox_events import event, in_order, names, put, waiting
from tests.events.recording_sink import RecordingSink, down, refusing
from tests.jobs.counting_store import CountingStore
from tests.support.fake_clock import FakeClock

BAD = "r0"
PAGE = 10
WAITING = 500
"""Events: more than a run may read."""

MAX_READS = 3 * len(EVENT_RANGES)
"""Queries of a run that has nothing new to read, and events that they return: one or two for each known range."""


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that a few hundred events fill many times."""
    monkeypatch.setattr(publisher, "PAGE", PAGE)


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("plan", [down, refusing(BAD)], ids=["a sink is down", "a repository is refused"])
def test_what_waits_is_read_once(
    plan: Callable[[Sequence[Event]], Outcome], outbox: MetadataStore, clock: FakeClock
) -> None:
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = plan
    counting = CountingStore(outbox)
    running = Publisher(counting, [one, two], clock)
    old = clock.time - timedelta(minutes=5)
    repositories = [BAD] if plan is not down else [f"r{number}" for number in range(20)]
    put(outbox, *(event(n, repositories[n % len(repositories)], moved=old, sent=("one",)) for n in range(WAITING)))
    assert running.run().waiting == WAITING
    running.run()
    counting.counts.clear()

    report = running.run()
    assert (report.waiting, report.oldest, report.read_again) == (WAITING, old, 0)
    assert counting.counts["query"] <= MAX_READS
    assert counting.counts["listed"] <= MAX_READS

    # New events are read, and the others are not.
    new = put(outbox, *(event(WAITING, f"r{number}", moved=clock.time) for number in range(20)))
    counting.counts.clear()
    running.run()
    assert sorted(one.names) == sorted(names(new))
    assert counting.counts["listed"] <= MAX_READS + len(EVENT_RANGES) * PAGE

    # The retry reads from the first event on that the sink lacks.
    clock.advance(minutes=1.5)
    calls = two.calls
    counting.counts.clear()
    running.run()
    assert two.calls > calls
    assert counting.counts["listed"] <= MAX_READS + len(EVENT_RANGES) * 2 * PAGE


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("plan", [down, refusing(BAD)], ids=["a sink is down", "a repository is refused"])
def test_what_waited_is_published_in_order_when_the_cause_is_gone(
    plan: Callable[[Sequence[Event]], Outcome], outbox: MetadataStore, clock: FakeClock
) -> None:
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = plan
    running = Publisher(outbox, [one, two], clock)
    events = [
        *put(outbox, *(event(n, f"r{n % 2}", moved=clock.time - timedelta(minutes=5)) for n in range(4 * PAGE))),
        *put(outbox, *(event(n, f"r{n % 2}", moved=clock.time) for n in range(PAGE))),
    ]
    for _ in range(3):
        running.run()
        clock.advance(minutes=1.5)

    two.plan = lambda events: None
    clock.advance(minutes=4)
    assert running.run().waiting == 0
    assert sorted(two.names) == sorted(one.names) == sorted(names(events)), "each once"
    assert in_order(one.received)
    assert in_order(two.received)
    assert waiting(outbox) == []


def test_what_another_process_begins_to_retry_is_not_overtaken(outbox: MetadataStore, clock: FakeClock) -> None:
    sink = RecordingSink()
    sink.plan = refusing(BAD)
    running = Publisher(outbox, [sink], clock)
    put(outbox, *(event(number, BAD, moved=clock.time - timedelta(minutes=5)) for number in range(3)))
    running.run()
    running.run()

    # The other one has just published the first event, and so removed the record.
    outbox.commit([Delete(each) for each in (*outbox.find(Query(StalledRepository, limit=1)), waiting(outbox)[0])])
    sink.plan = lambda events: None
    put(outbox, event(9, BAD, moved=clock.time))
    running.run()
    assert sink.names == []
    clock.advance(minutes=2)
    running.run()
    assert len(sink.received) == 3
    assert in_order(sink.received)


@pytest.mark.usefixtures("small_pages")
def test_a_sink_that_stays_down_costs_a_page_each_time_it_is_tried(outbox: MetadataStore, clock: FakeClock) -> None:
    sink = RecordingSink()
    sink.plan = down
    counting = CountingStore(outbox)
    running = Publisher(counting, [sink], clock)
    put(outbox, *(event(number, moved=clock.time - timedelta(minutes=5)) for number in range(WAITING)))
    running.run()
    counting.counts.clear()
    clock.advance(minutes=2)
    assert running.run().waiting == WAITING
    assert sink.calls == 2
    assert counting.counts["listed"] <= PAGE + MAX_READS


def test_young_events_are_read_until_no_earlier_one_can_become_visible(outbox: MetadataStore, clock: FakeClock) -> None:
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = down
    running = Publisher(outbox, [one, two], clock)
    put(outbox, event(2, moved=clock.time))
    assert running.run().read_again == 1
    late = put(outbox, event(1, moved=clock.time))
    assert running.run().read_again == 2
    assert one.names[-1] == late[0].name
    clock.advance(seconds=119)
    assert running.run().read_again == 2
    clock.advance(seconds=2)
    assert running.run().read_again == 0


@pytest.mark.parametrize("turn", [{"minutes": 11}, {"minutes": -1}], ids=["ten minutes later", "set back"])
def test_the_front_is_read_again_for_what_a_replay_puts_there(
    turn: dict[str, float], outbox: MetadataStore, clock: FakeClock
) -> None:
    one, two = RecordingSink("one"), RecordingSink("two")
    two.plan = down
    running = Publisher(outbox, [one, two], clock)
    put(outbox, event(9, moved=clock.time - timedelta(minutes=5)))
    running.run()
    replayed = put(outbox, event(1, moved=clock.time - timedelta(minutes=5)))
    running.run()
    assert len(one.received) == 1
    clock.advance(**turn)
    running.run()
    assert one.names[1:] == names(replayed)


def test_causes_beyond_the_maximum_are_read_again(
    outbox: MetadataStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "MAX_CAUSES", 1)
    place = event(0, "r0").id[0]
    repositories = [name for number in range(99) if event(0, name := f"r{number}").id[0] == place][:3]
    sink = RecordingSink()
    sink.plan = refusing(*repositories)
    running = Publisher(outbox, [sink], clock)
    old = clock.time - timedelta(minutes=5)
    put(outbox, *(event(number, each, moved=old) for number, each in enumerate(repositories)))
    assert running.run().read_again == 2
    report = running.run()
    assert (report.waiting, report.read_again) == (3, 2)


class Processes:
    """Two publishers, each of which can run between what the other one publishes and its commit.

    state  of each sink, by name: "up", "down" or "refuses"
    """

    def __init__(self, outbox: MetadataStore, clock: FakeClock, chance: random.Random) -> None:
        self.sinks = [RecordingSink("one"), RecordingSink("two")]
        self.state = {each.name: "up" for each in self.sinks}
        self.make: Callable[[], Publisher] = lambda: Publisher(outbox, self.sinks, clock)
        self.publishers = [self.make(), self.make()]
        self._chance = chance
        self._running: list[Publisher] = []
        self._plans = {"up": lambda events: None, "down": down, "refuses": refusing("r1", "r4")}
        for sink in self.sinks:
            sink.plan = partial(self._plan, sink.name)

    def run(self, publisher: Publisher) -> None:
        self._running.append(publisher)
        publisher.run()
        self._running.pop()

    def _plan(self, name: str, events: Sequence[Event]) -> Outcome | None:
        outcome = self._plans[self.state[name]](events)
        if len(self._running) == 1 and self._chance.random() < 0.1:
            self.run(next(each for each in self.publishers if each not in self._running))
        return outcome


@pytest.mark.parametrize("seed", range(3))
def test_two_publishers_lose_and_reorder_nothing_whatever_fails(
    seed: int, outbox: MetadataStore, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sinks that go down and come up, repositories that are refused, processes that start anew, and races."""
    monkeypatch.setattr(publisher, "PAGE", 8)
    monkeypatch.setattr(publisher, "MAX_FRONT", 64)
    chance = random.Random(seed)
    processes = Processes(outbox, clock, chance)
    made = list[Event]()
    for _ in range(30):
        clock.advance(seconds=chance.choice((1, 5, 60, 130, 700)))
        repositories = chance.choices(("r0", "r1", "r1", "r4", "r4", "r6"), k=chance.choice((1, 3, 10, 25)))
        made += put(outbox, *(event(number, each, moved=clock.time) for number, each in enumerate(repositories)))
        for name, before in list(processes.state.items()):
            processes.state[name] = chance.choice((before, before, "up", "down", "refuses"))
        if chance.random() < 0.1:
            processes.publishers[0] = processes.make()
        for each in chance.sample(processes.publishers, chance.randrange(3)):
            processes.run(each)
    processes.state = dict.fromkeys(processes.state, "up")
    for _ in range(4):
        clock.advance(hours=1)
        for each in processes.publishers:
            processes.run(each)
    assert waiting(outbox) == []
    for sink in processes.sinks:
        assert set(sink.names) == set(names(made)), "nothing is lost"
        assert in_order(sink.received)
