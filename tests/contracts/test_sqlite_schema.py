"""SQLite's file says which version of the schema it has, and is refused where that is another one.

What migrations do to a populated store, test_migration shows.
"""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from lading_storage.errors import StorageError, Unavailable
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_schema import VERSION
from lading_storage.protocols import Create
from lading_storage.records.core import Key, Repository
from lading_storage.records.kinds import KINDS
from tests.support.record_examples import DIGEST, EXAMPLES, link

REPOSITORY = Key(Repository, "team/app")
CREATED = EXAMPLES[0]
LINK = link(DIGEST, "team/app")

INDEXED_FIELDS = {
    "blobs": ("object",),
    "links": ("id",),
    "manifests": ("subject", "blobs", "children"),
    "tags": ("digest",),
    "deleted_manifests": ("subject", "blobs", "children", "cause"),
    "deleted_tags": ("digest", "cause"),
    "deleted_links": ("id",),
    "moves": ("tag",),
    "deliveries": ("webhook",),
}
"""Of each kind in SQLite's schema version 4. Deliveries came later: no file has any of before."""


def test_a_new_sqlite_file_has_the_newest_schema_and_can_give_space_back(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    SqliteMetadata(path).close()
    SqliteMetadata(path).close()

    with contextlib.closing(sqlite3.connect(path)) as file:
        assert file.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert file.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # incremental


def test_each_kind_has_a_number_of_its_own_in_sqlite() -> None:
    assert len({kind.NUMBER for kind in KINDS}) == len({kind.KIND for kind in KINDS}) == len(KINDS)


def test_what_sqlite_files_have_mentions_of_changes_with_the_schema_only() -> None:
    """A kind that is found by other fields than these needs a migration: files have, and lack, rows for them."""
    now = {kind.KIND: tuple(name for name in kind.INDEXED_FIELDS if name not in kind.FILTER_FIELDS) for kind in KINDS}
    assert (VERSION, {kind: fields for kind, fields in now.items() if fields}) == (4, INDEXED_FIELDS)


def set_version(path: Path, version: int) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(f"PRAGMA user_version = {version}")


def test_sqlite_refuses_what_is_newer(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    SqliteMetadata(path).close()
    set_version(path, VERSION + 1)

    with pytest.raises(StorageError, match="newer release"):
        SqliteMetadata(path)


def test_sqlite_writes_nothing_once_another_release_has_the_file(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    here = SqliteMetadata(path)
    set_version(path, VERSION + 1)

    with pytest.raises(Unavailable, match="another release"):
        here.commit([Create(CREATED)])
    with pytest.raises(Unavailable, match="another release"):
        here.compact(1)

    set_version(path, VERSION)
    assert here.read([REPOSITORY])[REPOSITORY] is None
    here.commit([Create(CREATED)])
    here.close()
