"""SQLite's file and the folder say which version of their layout they have, and go forward by themselves."""

import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.filesystem import FilesystemBlobs
from storage.protocols import Create
from storage.records import LOOSE, Key, Link, Repository
from storage.sqlite import SqliteMetadata
from storage.sqlite_file import MIGRATIONS
from tests.contracts.test_metadata import DIGEST, EXAMPLES, NOW, link

REPOSITORY = Key(Repository, "team/app")
CREATED = EXAMPLES[0]
LINK = link(DIGEST, "team/app")


def test_sqlite_goes_forward_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    old = SqliteMetadata(path)
    old.commit([Create(CREATED)])
    old.close()

    later = (*MIGRATIONS, "CREATE TABLE more (id TEXT);\nINSERT INTO more SELECT id FROM records;")
    for _ in range(2):
        new = SqliteMetadata(path, later)
        assert new.read([REPOSITORY])[REPOSITORY] == CREATED
        new.close()

    with pytest.raises(StorageError, match="newer release"):
        SqliteMetadata(path)


def test_of_older_links_nobody_knows_whether_a_manifest_names_them(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    SqliteMetadata(path, MIGRATIONS[:1]).close()
    # As a release of that time wrote it.
    fields = f'{{"object":"{LINK.object}","size":{LINK.size},"created":"{LINK.created.isoformat()}"}}'
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute(
            "INSERT INTO records (kind, repository, id, version, position, fields) VALUES ('links', ?, ?, '1', ?, ?)",
            (LINK.repository, LINK.id, LINK.id, fields),
        )
        file.commit()

    new = SqliteMetadata(path)

    assert new.find(Link, {"state": LOOSE}, repository=None, limit=5) == [replace(LINK, state=LOOSE, since=NOW)]
    new.close()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    SqliteMetadata(path).close()

    with pytest.raises(StorageError):
        SqliteMetadata(path, (*MIGRATIONS, "CREATE TABLE more (id TEXT);\nINSERT INTO absent VALUES (1);"))

    good = SqliteMetadata(path, (*MIGRATIONS, "CREATE TABLE more (id TEXT);"))
    good.close()


def test_a_folder_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    FilesystemBlobs(tmp_path / "blobs").close()
    (tmp_path / "blobs" / "LAYOUT").write_text("2\n")

    with pytest.raises(StorageError, match="newer release"):
        FilesystemBlobs(tmp_path / "blobs")
