"""SQLite's file and log stay as small as they can, and processes that write them take turns."""

import contextlib
import fcntl
import itertools
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lading_storage.local import sqlite_file
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_queue import WriterQueue
from lading_storage.protocols import Create, Delete, Touch
from lading_storage.records.core import Tag
from tests.support.record_examples import tag

LIMIT = 256 * 1024
CONTENT = b"x" * 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteMetadata]:
    store = SqliteMetadata(path)
    yield store
    store.close()


def fill(store: SqliteMetadata, count: int) -> list[Tag]:
    """Write large records, a commit each, and return their keys' records."""
    tags = [tag(f"v{number}", content=CONTENT) for number in range(count)]
    for each in tags:
        store.commit([Create(each)])
    return tags


def remove(store: SqliteMetadata, tags: list[Tag]) -> None:
    found = store.read([each.key for each in tags])
    store.commit([Delete(record) for each in tags if (record := found[each.key]) is not None])


def test_space_is_given_back_in_steps_and_nothing_else(store: SqliteMetadata, path: Path) -> None:
    kept, gone = fill(store, 5), [tag(f"w{number}", content=CONTENT) for number in range(100)]
    store.commit([Create(each) for each in gone])
    later = tag("x", content=CONTENT)
    store.commit([Create(later)])
    remove(store, gone)

    left = [store.compact(200_000)]
    while left[-1]:
        left.append(store.compact(200_000))

    steps = [before - after for before, after in itertools.pairwise(left)]
    assert len(steps) > 5
    assert {160_000 < step <= 200_000 for step in steps[:-1]} == {True}
    assert path.stat().st_size < 10 * len(CONTENT)
    assert [store.read([each.key])[each.key] for each in (*kept, later)] == [*kept, later]
    assert store.compact(1) == 0


def size_of_log(path: Path) -> int:
    return Path(f"{path}-wal").stat().st_size


def test_the_log_is_cut_once_a_long_reader_has_ended(
    store: SqliteMetadata, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "MAX_WAL_SIZE", LIMIT)
    monkeypatch.setattr("lading_storage.local.sqlite.CHECKPOINT_INTERVAL", 0.0)
    first = fill(store, 1)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        fill_others = [tag(f"w{number}", content=CONTENT) for number in range(20)]
        for each in fill_others:
            store.commit([Create(each)])
        assert size_of_log(path) > LIMIT
        assert reader.execute("SELECT count(*) FROM entries").fetchone() == (1,)
        reader.execute("COMMIT")

    store.commit([Touch(first[0].key)])

    assert size_of_log(path) <= LIMIT


def test_readers_that_overlap_do_not_let_the_log_grow(
    store: SqliteMetadata, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is a reader at any moment, but each ends soon."""
    monkeypatch.setattr(sqlite_file, "MAX_WAL_SIZE", LIMIT)
    monkeypatch.setattr("lading_storage.local.sqlite.CHECKPOINT_INTERVAL", 0.0)
    largest, ended = 0, threading.Event()

    def read() -> None:
        with contextlib.ExitStack() as stack:
            connect = [sqlite3.connect(path, isolation_level=None) for _ in range(2)]
            for each in connect:
                stack.callback(each.close)
            connect[0].execute("BEGIN")
            connect[0].execute("SELECT count(*) FROM entries").fetchone()
            while not ended.is_set():
                connect.reverse()
                connect[0].execute("BEGIN")
                connect[0].execute("SELECT count(*) FROM entries").fetchone()
                time.sleep(0.002)
                connect[1].execute("COMMIT")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(100):
            store.commit([Create(tag(f"w{number}", content=CONTENT))])
            largest = max(largest, size_of_log(path))
    finally:
        ended.set()
        reader.join()

    assert largest < 3 * LIMIT


def test_a_log_that_was_left_large_is_cut_when_the_file_is_opened(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(SqliteMetadata(path)) as store:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as reader:
            tags = fill(store, 30)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM entries").fetchone()
            assert size_of_log(path) > LIMIT
        monkeypatch.setattr(sqlite_file, "MAX_WAL_SIZE", LIMIT)

        with contextlib.closing(SqliteMetadata(path)) as another:
            assert size_of_log(path) == 0
            assert another.read([tags[-1].key])[tags[-1].key] == tags[-1]


def test_of_a_log_that_has_begun_anew_only_the_new_part_is_flushed_again(
    store: SqliteMetadata, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, 100)
    with contextlib.closing(sqlite3.connect(path)) as other:
        # All is in the file now, so the next commit begins the log anew, over the old one.
        assert other.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0
    last = tag("last")
    store.commit([Create(last)])
    assert size_of_log(path) > 2_000_000
    written = 0

    def pwrite(file: int, data: bytes, start: int) -> int:
        nonlocal written
        written += len(data)
        return write(file, data, start)

    write = os.pwrite
    monkeypatch.setattr(os, "pwrite", pwrite)

    with contextlib.closing(SqliteMetadata(path)) as another:
        assert another.read([last.key])[last.key] == last

    assert 0 < written <= 2 * sqlite_file.CHUNK_SIZE


def test_who_has_written_lets_others_write_first(path: Path) -> None:
    often, seldom, order = WriterQueue(path, 30), WriterQueue(path, 30), list[str]()

    def write() -> None:
        with seldom.acquire():
            order.append("seldom")

    with often.acquire():
        order.append("often")
        other = threading.Thread(target=write)
        other.start()
        while _can_be_locked(Path(f"{path}-queue")):
            time.sleep(0.001)
    with often.acquire():
        order.append("often again")
    other.join()

    assert order == ["often", "seldom", "often again"]


def _can_be_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_a_process_that_keeps_its_turn_blocks_no_other(path: Path) -> None:
    stopped, other = WriterQueue(path, 30), WriterQueue(path, 0.05)
    with stopped.acquire(), other.acquire():
        pass
    with stopped.acquire():
        pass


def test_a_process_that_was_stopped_in_its_turn_is_waited_for_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped, other, pauses = WriterQueue(path, 30), WriterQueue(path, 0.05), list[float]()
    monkeypatch.setattr("lading_storage.local.sqlite_queue.time.sleep", pauses.append)
    with stopped.acquire():
        with other.acquire():
            assert pauses
        pauses.clear()
        with other.acquire():
            assert not pauses
    with other.acquire():
        assert not _can_be_locked(Path(f"{path}-turn")), "it queues again"
    with stopped.acquire(), other.acquire():
        assert pauses
