"""A populated SQLite file of an earlier release is brought forward: all of it, or it can be tried again."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lading_storage.digests import digest_of
from lading_storage.errors import StorageError, Unavailable
from lading_storage.local import sqlite_file, sqlite_migration
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_schema import (
    GLOBAL_SCOPE,
    VERSION,
    decoded,
    lookups_of,
    packed,
    unpacked,
)
from lading_storage.protocols import Create, Replace
from lading_storage.query import Query
from lading_storage.records.core import (
    DELETED,
    HIDDEN,
    REVIEW,
    UNVERIFIED,
    Key,
    Link,
    Manifest,
    Record,
    Repository,
    Tag,
    Upload,
)
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.events import Delivery
from lading_storage.records.fields import converted
from lading_storage.records.jobs import Identity
from lading_storage.records.kinds import KINDS
from lading_storage.records.scans import Facts
from tests.contracts.released_sqlite import make_released
from tests.support.record_examples import DIGEST, EXAMPLES, NOW, OTHER, link, manifest, tag

MANY: Sequence[Record] = [
    # No release of an earlier schema had deliveries and facts, which are in a queue.
    *(each for each in EXAMPLES if not isinstance(each, Identity | Delivery | Facts)),
    replace(link(DIGEST, "team/app"), state=UNVERIFIED, since=NOW),
    Repository(id="gone", created=NOW, deleted=NOW),
    Upload(id="ended", target="team/app", cancelled=True, created=NOW, touched=NOW),
    manifest(OTHER, "team/app2", blobs=(DIGEST, OTHER), artifact_type="sbom", subject=DIGEST),
    *(tag(name, "a/b") for name in ("Beta", "alpha", "ALPHA", "v1")),
    *(link(digest_of(str(number).encode()), f"r{number % 7}") for number in range(50)),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metadata.sqlite"


def expected(record: Record, records: Sequence[Record]) -> Record:
    """A record as this release reads it: policies look at every repository once, and collection at unnamed links."""
    if type(record) is Link and not record.state:
        named = {(each.repository, blob) for each in records if type(each) is Manifest for blob in each.blobs}
        if (record.repository, record.id) not in named:
            return replace(record, state=UNVERIFIED, since=record.created)
    if isinstance(record, Repository) and not record.deleted:
        return replace(record, review=record.created)
    return record


def assert_complete(path: Path, records: Sequence[Record] = MANY) -> None:
    """All records are there, with what they are found by and the queues that they wait in, and nothing else."""
    store = SqliteMetadata(path)
    with contextlib.closing(store):
        found = store.read([each.key for each in records])
        assert [found[each.key] for each in records] == [expected(each, records) for each in records]
        for kind in KINDS:
            for repository in {each.repository for each in records if type(each) is kind}:
                ids = [each.id for each in records if type(each) is kind and each.repository == repository]
                assert [each.id for each in store.find(Query(kind, repository=repository, limit=100))] == sorted(
                    ids, key=kind.order
                )
    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert file.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        assert_rows(file, len(records))


def assert_rows(file: sqlite3.Connection, count: int) -> None:
    kinds = {kind.NUMBER: kind for kind in KINDS}
    wanted, rows = set[Any](), 0
    for number, kind, repository, id, due, fields in file.execute(
        "SELECT number, kind, repository, coalesce(id, position), due, fields FROM entries"
    ).fetchall():
        record = kinds[kind](id=unpacked(id), **_values(decoded(kinds[kind], fields)))
        assert (record.due or None) == due
        for everywhere, field, value in lookups_of(kinds[kind], record.id, decoded(kinds[kind], fields)):
            scope = GLOBAL_SCOPE if everywhere else repository
            wanted.add((kind, scope, field, value, packed(record.id), repository, number))
        rows += 1
    assert set(file.execute("SELECT * FROM lookups")) == wanted
    assert rows == count


def _values(fields: Any) -> Any:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def test_the_release_before_loses_nothing(path: Path) -> None:
    make_released(path, MANY)

    assert_complete(path)
    assert_complete(path)

    assert {each.name for each in path.parent.iterdir()} == {path.name, f"{path.name}-queue", f"{path.name}-turn"}
    store = SqliteMetadata(path)
    assert [each.record.id for each in store.due(Repository, DELETED, NOW, limit=9)] == ["gone"]
    assert [each.record.id for each in store.due(Repository, REVIEW, NOW, limit=9)] == ["team/app"]
    (loose,) = [each for each in store.due(Link, UNVERIFIED, NOW, limit=99) if each.record.id == DIGEST]
    assert store.find(Query(Link, {"id": DIGEST}, repository=None, limit=9)) == [loose.record]
    store.commit([Replace(replace(loose.record, state=HIDDEN)), Create(tag("new", "new/repository"))])
    assert [each for each in store.due(Link, UNVERIFIED, NOW, limit=99) if each.record.id == DIGEST] == []
    store.close()


def test_links_whose_manifest_the_release_before_deleted_are_loose(path: Path) -> None:
    """Collection hides them then; links that a living manifest names stay as they are."""
    live = manifest(OTHER, "a", blobs=(OTHER,))
    dead = converted(manifest(DIGEST, "a", blobs=(DIGEST, OTHER)), DeletedManifest, deleted=NOW, cause=DIGEST)
    make_released(path, [live, dead, *(link(digest, name) for digest in (DIGEST, OTHER) for name in ("a", "b"))])

    with contextlib.closing(SqliteMetadata(path)) as store:
        found = {(each.record.repository, each.record.id) for each in store.due(Link, UNVERIFIED, NOW, limit=9)}

    assert found == {("a", DIGEST), ("b", DIGEST), ("b", OTHER)}


def test_older_links_are_unverified(path: Path) -> None:
    make_released(path, [link(DIGEST, "team/app")], version=1)

    assert_complete(path, [replace(link(DIGEST, "team/app"), state=UNVERIFIED, since=NOW)])


def test_an_empty_store_of_the_release_before_goes_forward(path: Path) -> None:
    make_released(path, [])

    assert_complete(path, [])


def test_an_open_file_of_the_release_before_takes_nothing_any_more(path: Path) -> None:
    make_released(path, MANY)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        assert old.execute("SELECT count(*) FROM records").fetchone() == (len(MANY),)

        assert_complete(path)

        for statement in ("SELECT * FROM records", "INSERT INTO mentions (value) VALUES (1)", "DELETE FROM records"):
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                old.execute(statement)


def test_a_migration_that_fails_can_be_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_released(path, MANY)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_migration, "COPY_LOCAL_LOOKUPS", "INSERT INTO absent VALUES (?, ?)")
        with pytest.raises(Unavailable, match="absent"):
            SqliteMetadata(path)

    assert_complete(path)


def test_without_space_for_it_nothing_is_begun(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_released(path, MANY)
    before = path.read_bytes()
    monkeypatch.setattr(sqlite_migration, "SPACE_FACTOR", 1e12)

    with pytest.raises(StorageError, match="free disk space"):
        SqliteMetadata(path)

    assert path.read_bytes() == before


KILLED = """
import os, sys
from pathlib import Path
from lading_storage.local import sqlite_migration
from lading_storage.local.sqlite import SqliteMetadata

steps = int(sys.argv[2])
def say(step, done, total):
    global steps
    steps -= 1
    if steps < 0:
        os.kill(os.getpid(), 9)
sqlite_migration._show_progress = say
sqlite_migration.PAGES_PER_STEP = 1
sqlite_migration.ROWS_PER_STEP = 20
SqliteMetadata(Path(sys.argv[1])).close()
"""


def test_killed_at_any_step_it_is_begun_anew(path: Path) -> None:
    killed, repository = 0, Path(__file__).parents[2]
    for steps in range(0, 200, 3):
        for each in path.parent.iterdir():
            each.unlink()
        make_released(path, MANY)
        ended = subprocess.run([sys.executable, "-c", KILLED, str(path), str(steps)], cwd=repository, check=False)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL
        killed += 1
        assert_complete(path)
    assert ended.returncode == 0
    assert killed > 10
    assert_complete(path)


def test_who_comes_while_it_is_brought_forward_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it takes: longer than a write waits for another one."""
    make_released(path, MANY)
    monkeypatch.setattr(sqlite_file, "BUSY_TIMEOUT", 0.05)
    monkeypatch.setattr(sqlite_migration, "PAGES_PER_STEP", 1)
    writing, go_on = threading.Event(), threading.Event()

    def say(step: str, done: int, total: int) -> None:
        if step == "writing to the disk":
            writing.set()
            assert go_on.wait(30)

    monkeypatch.setattr(sqlite_migration, "_show_progress", say)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(SqliteMetadata, path)
        assert writing.wait(30)
        second = pool.submit(SqliteMetadata, path)
        with pytest.raises(TimeoutError):
            second.result(0.5)
        go_on.set()
        for opened in (first, second):
            opened.result(30).close()
    assert_complete(path)


def test_of_two_that_open_it_at_once_both_have_all(path: Path) -> None:
    make_released(path, MANY)
    code = (
        "import sys, pathlib, lading_storage.local.sqlite as driver; driver.SqliteMetadata(pathlib.Path(sys.argv[1]))"
    )
    both = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parents[2], env=os.environ)
        for _ in range(3)
    ]

    assert [each.wait(60) for each in both] == [0, 0, 0]

    assert_complete(path)
    store = SqliteMetadata(path)
    assert store.read([Key(Tag, "v1", "a/b")])[Key(Tag, "v1", "a/b")] == tag("v1", "a/b")
    store.close()
