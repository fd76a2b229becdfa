"""Pulls are on record to the hour, and a pull neither waits for that nor fails with it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from functions.jobs.backup import Stores
from functions.registry import pulls
from functions.registry.pulls import Pulls
from storage.errors import Conflict, Unavailable
from storage.protocols import Found, MetadataStore, Write
from storage.records import Key
from storage.upkeep import Pull
from tests import images
from tests.registry.clocks import TestClock
from tests.servers import serving

KEY = Key(Pull, "sha256:" + "ab" * 32, "team/app")


class Counting:
    """Counts commits, and fails them while it is told to."""

    def __init__(self, metadata: MetadataStore) -> None:
        self._metadata = metadata
        self.commits: list[Sequence[Write]] = []
        self.fault: Exception | None = None
        self.open = threading.Event()
        self.open.set()

    def read(self, keys: Sequence[Key[Pull]], *, content: bool = True) -> Found:
        self.open.wait(10)
        return self._metadata.read(keys, content=content)

    def commit(self, writes: Sequence[Write]) -> None:
        if self.fault:
            raise self.fault
        self.commits.append(writes)
        self._metadata.commit(writes)


@pytest.fixture
def clock() -> TestClock:
    return TestClock()


@pytest.fixture
def counting(stores: Stores) -> Counting:
    return Counting(stores.metadata)


@pytest.fixture
def noting(counting: Counting, clock: TestClock) -> Iterator[Pulls]:
    opened = Pulls(counting, clock)  # type: ignore[arg-type]  # it uses no more of a store
    yield opened
    opened.close()


def pulled(stores: Stores) -> Pull | None:
    return stores.metadata.read([KEY])[KEY]


def test_a_manifest_is_written_once_an_hour(
    stores: Stores, counting: Counting, noting: Pulls, clock: TestClock
) -> None:
    times = []
    for minutes in (0, 1, 58, 1, 30):
        clock.turn(minutes=minutes)
        for _ in range(3):
            noting.note(KEY.repository, KEY.id)
        noting.flush()
        times.append(pulled(stores))
    assert len(counting.commits) == 2
    first, last = times[0], times[-1]
    assert first
    assert last
    assert [each.pulled for each in times if each] == [first.pulled] * 3 + [clock.time.replace(hour=13, minute=0)] * 2


def test_another_process_writes_nothing_within_the_hour(stores: Stores, clock: TestClock) -> None:
    processes = [Counting(stores.metadata) for _ in range(2)]
    for process in processes:
        opened = Pulls(process, clock)  # type: ignore[arg-type]
        opened.note(KEY.repository, KEY.id)
        opened.close()
        clock.turn(minutes=59)
    assert [len(process.commits) for process in processes] == [1, 0]


def test_of_two_that_write_at_once_one_writes_and_nothing_else_is_lost(
    stores: Stores, counting: Counting, noting: Pulls, clock: TestClock
) -> None:
    other = Pulls(stores.metadata, clock)
    counting.fault = Conflict("lost")
    noting.note(KEY.repository, KEY.id)
    noting.flush()
    assert pulled(stores) is None
    counting.fault = None
    other.note(KEY.repository, KEY.id)
    noting.note(KEY.repository, "sha256:" + "cd" * 32)
    other.close()
    noting.flush()
    assert pulled(stores) is not None
    assert stores.metadata.scan(Pull, "team/app", limit=10)[1].id == "sha256:" + "cd" * 32


def test_what_could_not_be_written_is_noted_by_the_next_pull(stores: Stores, counting: Counting, noting: Pulls) -> None:
    counting.fault = Unavailable("no")
    noting.note(KEY.repository, KEY.id)
    noting.flush()
    counting.fault = None
    noting.note(KEY.repository, KEY.id)
    noting.flush()
    assert pulled(stores) is not None


def test_a_pull_waits_for_nobody_and_what_waits_is_bounded(
    stores: Stores, counting: Counting, clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulls, "MOST_WAITING", 5)
    noting = Pulls(counting, clock)  # type: ignore[arg-type]
    counting.open.clear()
    for number in range(50):
        noting.note("team/app", f"sha256:{number:064}")
    counting.open.set()
    noting.flush()
    assert 5 <= len(stores.metadata.scan(Pull, "team/app", limit=100)) <= 6
    noting.note("team/app", f"sha256:{49:064}")
    noting.close()
    assert stores.metadata.scan(Pull, "team/app", limit=100)[-1].id == f"sha256:{49:064}"


def test_gets_are_pulls_and_heads_are_not_and_both_are_on_record_when_the_server_ends(
    stores: Stores, environment: Mapping[str, str], tmp_path: Path
) -> None:
    one, two = images.index([]), images.index([], annotations={"a": "b"})
    with serving(environment, tmp_path / "log") as server:
        for manifest, tag, method in ((one, "v1", "GET"), (two, "v2", "HEAD")):
            assert server.request("PUT", f"/v2/team/app/manifests/{tag}", manifest)[0].status == 201
            assert server.request(method, f"/v2/team/app/manifests/{tag}")[0].status == 200
    assert [pull.id for pull in stores.metadata.scan(Pull, "team/app", limit=10)] == [images.descriptor(one)["digest"]]
