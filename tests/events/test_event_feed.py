"""Readers of published events: nothing is lost and nothing comes twice, whenever a commit becomes visible."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lading.registry.errors import EVENTS_GONE, RegistryError
from lading.registry.events import event_feed, selection
from lading.registry.events.event_cursor import HASH_SIZE, MAX_RETURNED, EventCursor, position_after
from lading.registry.events.event_feed import EventFeed
from lading.registry.events.selection import Selection
from lading_storage.records.events import PublishedEvent
from tests.support.published_events import LateStore, published_event

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class World:
    """Two processes with a feed each, over one store, and the clock of all."""

    def __init__(self) -> None:
        self.store = LateStore(START)
        any_store: Any = self.store
        self.feeds = [EventFeed(any_store, self._clock, self._seconds) for _ in range(2)]

    def _clock(self, store_time: datetime | None = None) -> datetime:
        return self.store.now

    def _seconds(self) -> float:
        return (self.store.now - START).total_seconds()

    def pass_time(self, seconds: float) -> None:
        self.store.now += timedelta(seconds=seconds)

    def read(self, cursor: EventCursor, limit: int = 100, process: int = 0, repository: str = "") -> Selection:
        feed = self.feeds[process]
        feed.refresh(1.0)
        return feed.select(cursor, lambda event: repository in ("", event.target), limit)


@pytest.fixture
def world() -> World:
    return World()


def names(events: Any) -> list[str]:
    return [each.tag for each in events]


@contextmanager
def small_limits() -> Iterator[None]:
    """Limits that a test reaches with a few events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selection, "MAX_RETURNED", 3)
        patch.setattr(event_feed, "MAX_EVENTS", 6)
        patch.setattr(event_feed, "PAGE_SIZE", 2)
        patch.setattr(event_feed, "MAX_SCANNED", 4)
        patch.setattr(event_feed, "PAGES_PER_READ", 2)
        yield


PUBLISHED = st.tuples(
    st.integers(1, 200),  # seconds from the start to the publication
    st.sampled_from([0, 0, 0, 1, 7, 30, 70, 110, 119]),  # until it is visible
    st.sampled_from(["team/app", "team/app", "team/app", "other/app"]),
)
READS = st.tuples(st.sampled_from([1, 1, 2, 6, 16, 40, 100, 200]), st.integers(0, 1), st.integers(1, 3))
"""Seconds before a read, the process that makes it, and its limit."""


@hypothesis.settings(max_examples=300)
@given(st.lists(PUBLISHED, max_size=12), st.lists(READS, min_size=8, max_size=30))
def test_each_event_is_returned_exactly_once(
    published: list[tuple[int, int, str]], reads: list[tuple[int, int, int]]
) -> None:
    world = World()
    for number, (at, delay, repository) in enumerate(published):
        event = published_event(number, START + timedelta(seconds=at, microseconds=number + 1), repository)
        world.store.add(event, timedelta(seconds=delay))
    cursor, received = EventCursor.after_time(START), list[PublishedEvent]()

    # The last reads are late enough for all that is published.
    with small_limits():
        for pause, process, limit in [*reads, (600.0, 0, 3), *[(20.0, 1, 3)] * 40]:
            world.pass_time(pause)
            found = world.read(cursor, limit, process, "team/app")
            assert len(found.events) <= limit
            assert len(found.cursor.returned) <= 3
            cursor = EventCursor.parse(str(found.cursor))
            received += found.events

    expected = [f"v{number}" for number, (_, _, repository) in enumerate(published) if repository == "team/app"]
    assert sorted(names(received)) == sorted(expected)


def test_a_late_event_is_returned_after_its_successors(world: World) -> None:
    cursor = EventCursor.after_time(START)
    world.store.add(published_event(1, START + timedelta(seconds=1)), timedelta(seconds=100))
    world.store.add(published_event(2, START + timedelta(seconds=2)))
    world.pass_time(3)
    first = world.read(cursor)
    world.pass_time(110)
    second = world.read(first.cursor)
    world.pass_time(200)
    third = world.read(second.cursor)

    assert [names(each.events) for each in (first, second, third)] == [["v2"], ["v1"], []]
    assert third.cursor.returned == frozenset()


def test_a_reader_that_begins_now_gets_nothing_earlier(world: World) -> None:
    world.store.add(published_event(1, START - timedelta(seconds=5)))
    world.store.add(published_event(2, START + timedelta(seconds=5)))
    cursor = EventCursor.after_time(START)
    world.pass_time(10)

    assert names(world.read(cursor).events) == ["v2"]


def test_a_reader_that_was_away_catches_up_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "PAGE_SIZE", 10)
    monkeypatch.setattr(event_feed, "MAX_SCANNED", 20)
    for number in range(50):
        world.store.add(published_event(number, START + timedelta(seconds=number), "team/app" if number else "other"))
    cursor, received, pages = EventCursor.after_time(START - timedelta(seconds=1)), list[str](), 0
    world.pass_time(1800)
    more = True
    while more:
        before = world.store.records
        found = world.read(cursor, 5, repository="team/app")
        received += names(found.events)
        cursor, pages, more = found.cursor, pages + 1, found.more
        assert world.store.records - before <= 20 + 10

    assert received == [f"v{number}" for number in range(1, 50)]
    assert pages >= 10


@pytest.mark.parametrize("hidden", [0, 5, 50])
def test_more_tells_nothing_of_events_that_are_not_wanted(
    world: World, monkeypatch: pytest.MonkeyPatch, hidden: int
) -> None:
    monkeypatch.setattr(event_feed, "PAGE_SIZE", 10)
    monkeypatch.setattr(event_feed, "MAX_SCANNED", 20)
    start = EventCursor.after_time(START - timedelta(seconds=1))
    for number in range(hidden):
        world.store.add(published_event(number, START + timedelta(seconds=number), "other"))
    world.pass_time(1800)
    found = world.read(start, 5, repository="team/app")
    assert (found.events, found.more, found.ready) == ([], False, False)
    assert found.cursor == EventCursor(position_after(world.store.now - event_feed.OVERLAP))

    world.store.add(published_event(99, START + timedelta(seconds=60), "team/app"))
    found = world.read(start, 5, repository="team/app")
    assert (names(found.events), found.more) == (["v99"], False)


def test_a_search_without_a_result_ends_after_some_seconds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the reader gets an empty page, and goes on after its cursor."""
    monkeypatch.setattr(event_feed, "PAGE_SIZE", 2)
    monkeypatch.setattr(event_feed, "MAX_SCANNED", 2)
    monkeypatch.setattr(event_feed, "MAX_SCAN", 0.0)
    for number in range(5):
        world.store.add(
            published_event(number, START + timedelta(seconds=number), "team/app" if number == 4 else "other")
        )
    cursor, pages = EventCursor.after_time(START - timedelta(seconds=1)), list[Selection]()
    world.pass_time(1800)
    while not pages or not pages[-1].events:
        pages.append(world.read(cursor, 5, repository="team/app"))
        cursor = pages[-1].cursor
    assert [(names(each.events), each.more, each.ready) for each in pages[:2]] == [([], False, True)] * 2
    assert names(pages[-1].events) == ["v4"]


def test_events_that_may_be_gone_are_an_error(world: World) -> None:
    world.pass_time(3600)
    assert world.read(EventCursor.after_time(START)).events == []
    world.pass_time(61)
    with pytest.raises(RegistryError) as caught:
        world.read(EventCursor.after_time(START))
    assert caught.value.descriptor is EVENTS_GONE
    assert world.read(EventCursor.after_time(START + timedelta(seconds=70))).events == []


def test_a_reader_that_is_never_away_reads_on_for_days(world: World) -> None:
    cursor = EventCursor.after_time(START)
    for number in range(100):
        world.store.add(published_event(number, world.store.now + timedelta(seconds=1)))
        world.pass_time(1500)
        found = world.read(cursor)
        cursor = found.cursor
        assert names(found.events) == [f"v{number}"]


def test_a_clock_that_is_set_back_is_an_error_and_a_new_reader_gets_what_follows(world: World) -> None:
    cursor = world.read(EventCursor.after_time(START)).cursor
    world.pass_time(60)
    cursor = world.read(cursor).cursor
    world.pass_time(-3600)
    with pytest.raises(RegistryError) as caught:
        world.read(cursor)
    assert caught.value.descriptor is EVENTS_GONE

    beginning = world.feeds[0].beginning(None)
    world.store.add(published_event(1, world.store.now + timedelta(seconds=1)))
    world.pass_time(5)
    assert names(world.read(beginning).events) == ["v1"]


def test_the_cost_does_not_grow_with_the_readers(world: World) -> None:
    cursors = [EventCursor.after_time(START)] * 200
    for number in range(60):
        world.store.add(published_event(number, world.store.now + timedelta(seconds=0.5)))
        world.pass_time(1)
        cursors = [world.read(each).cursor for each in cursors]

    assert world.store.reads <= 61
    # Each event is read again for some seconds, and a few times by the reads of all that is not settled.
    assert world.store.records <= 60 * (5 + 1 + 9)


def test_a_registry_without_readers_is_not_read(world: World) -> None:
    world.read(EventCursor.after_time(START))
    reads = world.store.reads
    world.pass_time(3000)
    assert world.store.reads == reads


CURSORS = st.builds(
    EventCursor,
    st.one_of(
        st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1)).map(lambda at: position_after(at.replace(tzinfo=UTC))),
        st.builds(lambda number: published_event(number, START).id, st.integers(0, 99)),
    ),
    st.frozensets(st.binary(min_size=HASH_SIZE, max_size=HASH_SIZE), max_size=MAX_RETURNED),
)


@given(CURSORS)
def test_a_cursor_is_read_as_it_was_written(cursor: EventCursor) -> None:
    assert EventCursor.parse(str(cursor)) == cursor
    assert len(str(cursor)) <= 2_300


@given(CURSORS, st.integers(0, 3_000), st.integers(1, 63))
def test_a_changed_cursor_is_an_error(cursor: EventCursor, at: int, by: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    text = str(cursor)
    at %= len(text)
    changed = text[:at] + alphabet[(alphabet.index(text[at]) + by) % 64] + text[at + 1 :]
    for each in (changed, f"{text[:at]}!{text[at:]}", f"{text}=", f"{text} "):
        with pytest.raises(ValueError, match="no cursor"):
            EventCursor.parse(each)


@given(st.text(max_size=100))
def test_any_other_text_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        EventCursor.parse(text)
