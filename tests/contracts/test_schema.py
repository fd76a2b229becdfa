"""Both metadata stores, and the folder, say which version of their layout they have, and go forward by themselves."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from storage import firestore, sqlite
from storage.errors import StorageError
from storage.filesystem import FilesystemBlobs
from storage.firestore import FirestoreMetadata
from storage.protocols import Create
from storage.records import Key, Repository
from storage.sqlite import SqliteMetadata
from tests.contracts.test_metadata import EXAMPLES

REPOSITORY = Key(Repository, "team/app")
CREATED = EXAMPLES[0]


def test_sqlite_goes_forward_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    old = SqliteMetadata(path)
    old.commit([Create(CREATED)])
    old.close()

    later = (*sqlite.MIGRATIONS, "CREATE TABLE more (id TEXT);\nINSERT INTO more SELECT id FROM records;")
    for _ in range(2):
        new = SqliteMetadata(path, later)
        assert new.read([REPOSITORY])[REPOSITORY] == CREATED
        new.close()

    with pytest.raises(StorageError, match="newer release"):
        SqliteMetadata(path)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    SqliteMetadata(path).close()

    with pytest.raises(StorageError):
        SqliteMetadata(path, (*sqlite.MIGRATIONS, "CREATE TABLE more (id TEXT);\nINSERT INTO absent VALUES (1);"))

    good = SqliteMetadata(path, (*sqlite.MIGRATIONS, "CREATE TABLE more (id TEXT);"))
    good.close()


def test_firestore_goes_forward_and_refuses_what_is_newer(emulators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment: Mapping[str, str] = emulators.fresh()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parts = urlsplit(environment["LADING_METADATA"])

    def opened(*migrations: Any) -> FirestoreMetadata:
        return FirestoreMetadata(parts.netloc, parts.path.strip("/"), (*firestore.MIGRATIONS, *migrations))

    runs: list[str] = []
    stores = [opened(), opened(lambda client: runs.append("second")), opened(lambda client: runs.append("again"))]
    stores[0].commit([Create(CREATED)])
    for store in stores:
        assert store.read([REPOSITORY])[REPOSITORY] == CREATED
        store.close()
    assert runs == ["second"]

    old = opened()
    with pytest.raises(StorageError, match="newer release"):
        old.read([REPOSITORY])
    old.close()


def test_a_folder_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    FilesystemBlobs(tmp_path / "blobs").close()
    (tmp_path / "blobs" / "LAYOUT").write_text("2\n")

    with pytest.raises(StorageError, match="newer release"):
        FilesystemBlobs(tmp_path / "blobs")
