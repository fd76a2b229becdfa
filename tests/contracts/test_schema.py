"""Both metadata stores, and the folder, say which version of their layout they have, and go forward by themselves."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud import firestore as firestore_client

from storage import firestore
from storage.errors import StorageError
from storage.filesystem import FilesystemBlobs
from storage.firestore import FirestoreMetadata
from storage.protocols import Create
from storage.records import LOOSE, Key, Link, Repository
from tests.contracts.test_metadata import DIGEST, EXAMPLES, NOW, link

REPOSITORY = Key(Repository, "team/app")
CREATED = EXAMPLES[0]
LINK = link(DIGEST, "team/app")


def test_firestore_knows_as_little_of_older_links(emulators: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulators.fresh().items():
        monkeypatch.setenv(name, value)
    parts = urlsplit(os.environ["LADING_METADATA"])
    place = (parts.netloc, parts.path.strip("/"))
    old = FirestoreMetadata(*place, migrations=firestore.MIGRATIONS[:1])
    old.commit([Create(LINK)])
    old.close()
    client = firestore_client.Client(project=place[0], database=place[1])
    for snapshot in client.collection_group("links").stream():
        snapshot.reference.update({"state": firestore_client.DELETE_FIELD, "since": firestore_client.DELETE_FIELD})

    new = FirestoreMetadata(*place)

    assert new.find(Link, {"state": LOOSE}, repository=None, limit=5) == [replace(LINK, state=LOOSE, since=NOW)]
    new.close()


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
