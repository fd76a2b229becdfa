"""Firestore's schema: who raises its version, what a request does then, and what an older release may leave behind."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud import firestore

from emulators import Emulators
from lading_storage.errors import StorageError, StoreNotFound
from lading_storage.firestore_documents import path_of
from lading_storage.google.firestore import FirestoreMetadata
from lading_storage.google.firestore_schema import PATH, SCHEMA_VERSION
from lading_storage.protocols import Create, Replace
from lading_storage.query import Query
from lading_storage.records.core import OPEN, UNVERIFIED, Key, Link, Upload
from tests.support.record_examples import DIGEST, NOW, link

LINK = link(DIGEST, "team/app")
UPLOAD = Upload(id="u", target="team/app", created=NOW, touched=NOW)
LATER = NOW + timedelta(days=1)

Opened = Callable[..., FirestoreMetadata]


@pytest.fixture
def opened(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens one and the same empty database, as a new process would."""
    for name, value in emulators.fresh_stores().items():
        monkeypatch.setenv(name, value)
    stores: list[FirestoreMetadata] = []

    def make(**options: Any) -> FirestoreMetadata:
        stores.append(FirestoreMetadata(*place(), **options))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def client(opened: Opened) -> Iterator[firestore.Client]:
    """Google's client of the same database: writes what another release would write."""
    project, database = place()
    client = firestore.Client(project=project, database=database)
    yield client
    client.close()  # type: ignore[no-untyped-call]


def place() -> tuple[str, str]:
    parts = urlsplit(os.environ["LADING_METADATA"])
    return parts.netloc, parts.path.strip("/")


def test_a_new_database_was_never_raised(opened: Opened) -> None:
    with pytest.raises(StoreNotFound):
        opened(create=False).read([LINK.key])

    assert opened().schema_raised() is None
    assert opened(create=False).schema_raised() is None


def test_the_first_process_of_a_release_raises_the_version_and_writes_nothing_else(opened: Opened) -> None:
    old = opened(schema_version=SCHEMA_VERSION - 1)
    links = [replace(LINK, id=f"sha256:{number:064x}") for number in range(20)]
    old.commit([*map(Create, links)])
    before = old.find(Query(Link, repository="team/app", limit=50))

    new = opened()
    found = new.find(Query(Link, repository="team/app", limit=50))
    raised = new.schema_raised()

    assert [each.version for each in found] == [each.version for each in before]
    assert raised is not None
    assert abs(raised - datetime.now(UTC)) < timedelta(minutes=1)
    assert opened().schema_raised() == raised, "and no later one changes the time"


def test_of_many_that_start_at_once_one_raises_the_version(opened: Opened) -> None:
    opened(schema_version=SCHEMA_VERSION - 1).read([LINK.key])
    stores = [opened() for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        raised = set(pool.map(FirestoreMetadata.schema_raised, stores))

    assert len(raised) == 1
    assert None not in raised


def test_of_many_that_start_on_a_new_database_none_raises_it(opened: Opened) -> None:
    stores = [opened() for _ in range(8)]

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(FirestoreMetadata.schema_raised, stores)) == {None}


def test_a_newer_layout_is_refused(opened: Opened) -> None:
    opened(schema_version=SCHEMA_VERSION + 1).read([LINK.key])

    for _ in range(2):
        with pytest.raises(StorageError, match="newer release"):
            opened().read([LINK.key])


def test_the_schema_is_read_once_in_a_process(opened: Opened, client: firestore.Client) -> None:
    store = opened()
    store.commit([Create(LINK)])

    client.document(PATH).delete()

    assert store.read([LINK.key])[LINK.key] == LINK


def test_a_link_from_before_links_had_states_is_loose_and_adopted_by_a_replace(
    opened: Opened, client: firestore.Client
) -> None:
    store = opened()
    store.commit([Create(LINK)])
    client.document(path_of(LINK.key)).update({"state": firestore.DELETE_FIELD, "since": firestore.DELETE_FIELD})
    loose = replace(LINK, state=UNVERIFIED, since=NOW)

    (listed,) = store.find(Query(Link, repository="team/app", limit=5))
    read = store.read([LINK.key])[LINK.key]
    assert listed == read == loose
    assert store.due(Link, UNVERIFIED, LATER, limit=5) == []

    store.commit([Replace(read)])

    assert [queued.record for queued in store.due(Link, UNVERIFIED, LATER, limit=5)] == [loose]


def test_what_an_older_release_writes_has_no_entry_until_it_is_written_anew(
    opened: Opened, client: firestore.Client
) -> None:
    opened(schema_version=SCHEMA_VERSION - 1).read([UPLOAD.key])
    store = opened()
    raised = store.schema_raised()
    store.commit([Create(UPLOAD)])
    # The release before creates and updates documents without the field.
    fields = client.document(path_of(UPLOAD.key)).get().to_dict() or {}
    del fields["due"]
    other = replace(UPLOAD, id="v")
    client.document(path_of(other.key)).create({**fields, "id": "v", "position": "v"})
    client.document(path_of(UPLOAD.key)).update({"touched": LATER, "nonce": "0"})

    stale = store.due(Upload, OPEN, LATER, limit=5)

    assert [queued.record.id for queued in stale] == ["u"], "one is missed"
    assert stale[0].entry != stale[0].record.due, "and one has a stale entry"
    keys = [Key(Upload, id) for id in "uv"]
    found = store.read(keys)
    store.commit([Replace(record) for key in keys if (record := found[key]) is not None])
    adopted = store.due(Upload, OPEN, LATER, limit=5)
    assert [queued.record.id for queued in adopted] == ["v", "u"]
    assert all(queued.entry == queued.record.due for queued in adopted)
    assert store.schema_raised() == raised
