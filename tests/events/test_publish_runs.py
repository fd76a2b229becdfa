"""The runs of the function `publish`: wake-ups share them, rest where nothing can be done, and wait for no endpoint."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from datetime import timedelta
from pathlib import Path

import pytest

from lading.events import publish_runs
from lading.events.publish_report import PublishReport
from lading.events.publish_runs import PublishRuns
from lading.events.publisher import Publisher
from lading.events.sink import Outcome
from lading.outbound import TIME_LIMIT
from lading.registry.errors import RegistryError
from lading_storage.protocols import MetadataStore
from lading_storage.records.events import Event
from tests.events.outbox_events import event, names, put
from tests.events.recording_sink import RecordingSink, down
from tests.support.fake_clock import FakeClock
from tests.support.folder_stores import folder_stores
from tests.support.server_process import PROCESS_TIMEOUT


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[MetadataStore]:
    stores = folder_stores(tmp_path)
    yield stores.metadata
    stores.close()


@pytest.fixture
def sink() -> RecordingSink:
    return RecordingSink()


@pytest.fixture
def publisher(outbox: MetadataStore, sink: RecordingSink) -> Publisher:
    return Publisher(outbox, [sink], FakeClock())


def nothing(is_over: Callable[[], bool], ends_at: float | None) -> Mapping[str, int]:
    """No delivery is due."""
    return {}


def test_a_slow_endpoint_holds_up_no_event(outbox: MetadataStore, sink: RecordingSink, publisher: Publisher) -> None:
    begun, ending, calls = threading.Event(), threading.Event(), list[int]()

    def slow(is_over: Callable[[], bool], ends_at: float | None) -> Mapping[str, int]:
        calls.append(len(sink.names))
        begun.set()
        assert ending.wait(PROCESS_TIMEOUT)
        return {"delivered": 1}

    runs = PublishRuns(publisher, slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(runs.run)
        assert begun.wait(PROCESS_TIMEOUT)
        events = put(outbox, event(1))
        further = [pool.submit(runs.run) for _ in range(3)]
        # One of them waits for the deliveries, and holds a thread for that.
        done = as_completed(further, PROCESS_TIMEOUT)
        assert [next(done).result().deliveries for _ in range(2)] == [{}, {}]
        assert sink.names == names(events)
        ending.set()
        assert first.result().deliveries == next(done).result().deliveries == {"delivered": 1}
    assert calls == [0, 1], "the run that waited delivers what was published meanwhile"


def test_a_run_that_began_after_a_wake_up_came_is_enough(
    outbox: MetadataStore, sink: RecordingSink, publisher: Publisher
) -> None:
    put(outbox, event(1))
    came, later = threading.Semaphore(0), list[Event]()

    def monotonic() -> float:
        came.release()
        return time.monotonic()

    runs = PublishRuns(publisher, nothing, monotonic)
    with ThreadPoolExecutor() as pool:
        waiting: list[Future[PublishReport | None]] = []

        def burst(events: Sequence[Event]) -> Outcome | None:
            if not waiting:
                later.extend(put(outbox, event(2), event(3)))
                while came.acquire(blocking=False):
                    pass
                waiting.extend(pool.submit(runs.wake_up, "") for _ in later)
                assert all(came.acquire(timeout=PROCESS_TIMEOUT) for _ in later)
            return None

        sink.plan = burst
        assert runs.wake_up("") is not None
        reports = [each.result() for each in waiting]

    assert [each is None for each in reports].count(True) == 1
    assert sink.names == [event(number).name for number in (1, 2, 3)]
    put(outbox, event(4))
    assert runs.wake_up("") is not None


def test_wake_ups_rest_where_events_can_only_be_read_again(
    outbox: MetadataStore, sink: RecordingSink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_runs, "REST", 1000.0)
    runs, sink.plan = PublishRuns(publisher, nothing), down
    put(outbox, event(1))

    first = runs.wake_up("")
    put(outbox, event(2))

    assert first is not None
    assert (first.waiting, first.down) == (1, {"one": "it is down"})
    assert runs.wake_up("") is None
    assert runs.run().waiting == 0, "the sink is left alone for a second, so nothing was read"


def test_a_run_that_ended_early_stands_for_no_wake_up(
    outbox: MetadataStore, sink: RecordingSink, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_runs, "REST", 1000.0)
    runs = PublishRuns(publisher, nothing)
    events = put(outbox, event(1), event(2))

    assert runs.run(timedelta(0)).waiting > 0
    assert sink.names == []
    assert isinstance(runs.wake_up(""), PublishReport)
    assert sink.names == names(events)


class RecordingLock:
    """Lock that records for how long callers would wait for it."""

    waited: list[float]
    is_free = True

    def acquire(self, blocking: bool = True, timeout: float = 0) -> bool:
        self.waited.append(timeout)
        return self.is_free

    def release(self) -> None:
        assert self.is_free


@pytest.mark.parametrize(("is_wake_up", "deadline"), [(True, 10), (False, 300)])
def test_a_call_that_waits_ends_before_its_caller_repeats_it(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch, is_wake_up: bool, deadline: int
) -> None:
    """Eventarc repeats a request after 10 seconds, and Cloud Run ends one after 5 minutes, without its log line."""
    limits = list[timedelta]()

    def record(limit: timedelta, first: str = "") -> PublishReport:
        limits.append(limit)
        return PublishReport(seconds=0.0)

    monkeypatch.setattr(RecordingLock, "waited", list[float](), raising=False)
    monkeypatch.setattr(publish_runs, "Lock", RecordingLock)
    monkeypatch.setattr(publisher, "run", record)
    runs = PublishRuns(publisher, nothing)

    assert (runs.wake_up("") if is_wake_up else runs.run()) is not None
    wait = RecordingLock.waited[0]
    assert wait + limits[0].total_seconds() < deadline

    monkeypatch.setattr(RecordingLock, "is_free", False)
    with pytest.raises(RegistryError, match="is unavailable"):
        runs.wake_up("") if is_wake_up else runs.run()
    assert (RecordingLock.waited[-1], len(limits)) == (wait, 1)


def test_the_last_attempts_of_a_wake_up_end_before_eventarc_repeats_it(publisher: Publisher) -> None:
    """However late in the run they begin; a sweep has time for the last ones."""
    now, calls = [100.0], list[float | None]()

    def attempt(is_over: Callable[[], bool], ends_at: float | None) -> Mapping[str, int]:
        calls.append(ends_at)
        while not is_over():
            now[0] += 0.125
        assert ends_at is None or ends_at - now[0] > publish_runs.MIN_ATTEMPT - 0.25
        return {}

    runs = PublishRuns(publisher, attempt, lambda: now[0])
    assert runs.wake_up("") is not None
    assert calls == [100.0 + publish_runs.WAKE_UP_END]
    assert publish_runs.WAKE_UP_END < 10
    assert publish_runs.MIN_ATTEMPT < publish_runs.WAKE_UP_END

    runs.run()
    assert calls[1:] == [None]
    longest = publish_runs.SWEEP_WAIT + publish_runs.SWEEP_LIMIT
    assert longest.total_seconds() + TIME_LIMIT < 300


def test_a_wake_up_that_waited_begins_no_attempt_without_time_for_it(publisher: Publisher) -> None:
    now, begun = [100.0], list[bool]()

    def monotonic() -> float:
        now[0] += 7.0
        return now[0]

    def attempt(is_over: Callable[[], bool], ends_at: float | None) -> Mapping[str, int]:
        begun.append(not is_over())
        return {}

    assert PublishRuns(publisher, attempt, monotonic).wake_up("") is not None
    assert begun == [False]
