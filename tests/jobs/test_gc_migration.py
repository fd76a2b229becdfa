"""Two releases at once on Firestore: what the older one writes is collected as well, and nothing else."""

import os
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from google.cloud import firestore

from emulators import Emulators
from lading import settings
from lading.composition import open_blobs
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.migration import MIGRATION_KEY
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.google.firestore import FirestoreMetadata
from lading_storage.google.firestore_schema import SCHEMA_VERSION
from lading_storage.protocols import MAX_RELEASE_OVERLAP, Create, Delete
from lading_storage.query import Query
from lading_storage.records.core import Blob, Key, Manifest, Repository
from lading_storage.records.deleted import DeletedLink, DeletedManifest
from lading_storage.records.fields import converted
from lading_storage.records.kinds import KINDS
from lading_storage.stores import Stores
from tests.jobs.counting_store import CountingStore
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_intact, assert_no_garbage
from tests.support.registry_pushes import pull_blob, push_blob, push_image

NAMES = ("a", "b", "gone", "none")


class Database:
    """One database, as processes of two releases see it."""

    def __init__(self, environment: dict[str, str]) -> None:
        read = settings.load_settings(environment)
        parts = urlsplit(read.metadata)
        place = (parts.netloc, parts.path.strip("/"))
        self._client = firestore.Client(project=place[0], database=place[1])
        self.blobs = open_blobs(read.blobs)
        self.old = FirestoreMetadata(*place, schema_version=SCHEMA_VERSION - 1)
        self.old.find(Query(Repository, limit=1))
        self._place = place
        self.clock = FakeClock()

    def new(self) -> FirestoreMetadata:
        self.metadata = FirestoreMetadata(*self._place)
        self.metadata.find(Query(Repository, limit=1))
        return self.metadata

    def forget_entries(self) -> None:
        """Leave all records as an older release writes them: without an entry in a queue."""
        for kind in KINDS:
            for snapshot in self._client.collection_group(kind.KIND).stream():
                if "due" in (snapshot.to_dict() or {}):
                    snapshot.reference.update({"due": firestore.DELETE_FIELD})

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]
        self.old.close()
        self.metadata.close()
        self.blobs.close()


@pytest.fixture
def database(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    environment = dict(emulators.fresh_stores())
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert os.environ["FIRESTORE_EMULATOR_HOST"]
    opened = Database(environment)
    yield opened
    opened.close()


def used(database: Database, metadata: FirestoreMetadata) -> list[Manifest]:
    """Push, delete and leave alone in all ways that leave something to collect; returns what lives."""
    registry = Registry(database.blobs, metadata, clock=database.clock)
    living = [push_image(registry, name, "v1") for name in ("a", "b")]
    push_blob(registry, "a", images.blob())
    # Of a repository without a manifest there is no record.
    push_blob(registry, "none", images.blob())
    registry.uploads.start("a")
    registry.blobs.delete("a", push_blob(registry, "a", images.blob()).id)
    _delete_as_before(metadata, push_image(registry, "a"), database.clock)
    push_image(registry, "gone", "v1")
    registry.deletion.repository("gone")
    database.forget_entries()
    return living


def _delete_as_before(metadata: FirestoreMetadata, manifest: Manifest, clock: FakeClock) -> None:
    """Delete a manifest as the older release does: its links stay as they are, named by nothing that lives."""
    live = metadata.read([manifest.key])[manifest.key]
    assert live is not None
    cause = {"cause": manifest.id}
    metadata.commit([Delete(live), Create(converted(live, DeletedManifest, deleted=clock(), **cause))])


def collect(database: Database, hours: float = 0) -> None:
    database.clock.advance(hours=hours)
    registry = Registry(database.blobs, database.metadata, clock=database.clock)
    report = Collector(registry, GracePeriods(), clock=database.clock).run()
    assert report is not None
    assert (report.finished, report.findings) == (True, [])


def test_what_an_older_release_wrote_is_collected(database: Database) -> None:
    living = used(database, database.old)
    raised = database.new().schema_raised()
    assert raised is not None
    database.clock.time = raised
    collect(database)
    living += used(database, database.old)
    collect(database, hours=0.5)
    # What was written beside the first round has no entry: it is kept until the second one.
    collect(database, hours=MAX_RELEASE_OVERLAP.total_seconds() / 3600)
    for hours in (25, 2, 7 * 24, 2, 25, 2, 2, 2):
        collect(database, hours)

    stores = Stores(database.blobs, database.metadata)
    assert_intact(Snapshot(stores, NAMES))
    assert_no_garbage(Snapshot(stores, NAMES))
    registry = Registry(database.blobs, database.metadata, clock=database.clock)
    for manifest in living:
        found = registry.manifests.find(manifest.repository, manifest.id)
        assert digest_of(registry.manifests.content(found)) == manifest.id
        for blob in manifest.blobs:
            assert digest_of(pull_blob(registry, manifest.repository, blob)) == blob
    assert {record.id for record in database.metadata.find(Query(Repository, limit=9))} == {"a", "b"}
    assert len(database.metadata.find(Query(Blob, limit=100))) == len({blob for each in living for blob in each.blobs})


def test_all_records_are_walked_twice_and_never_again(database: Database) -> None:
    used(database, database.old)
    raised = database.new().schema_raised()
    assert raised is not None
    database.clock.time = raised
    rounds = []
    for hours in (0.0, 0.5, 2.0, 0.5, 0.5):
        database.clock.advance(hours=hours)
        counting = CountingStore(database.metadata)
        registry = Registry(database.blobs, counting, clock=database.clock)
        report = Collector(registry, GracePeriods(), clock=database.clock).run()
        assert report is not None
        assert report.finished
        rounds.append("records adopted" in report.counts)
        last = counting.counts
    assert rounds == [True, False, True, False, False]
    # Those of the phases, and one for each range of the outbox that has events, which here are of few repositories.
    assert last["query"] < 14 + len(NAMES)
    job = database.metadata.read([Key(MIGRATION_KEY.kind, MIGRATION_KEY.id)])[MIGRATION_KEY]
    assert job is not None
    assert job.rules.endswith(" last")


def test_the_last_round_begins_anew_where_the_first_one_is_not_done(database: Database) -> None:
    used(database, database.old)
    raised = database.new().schema_raised()
    assert raised is not None
    database.clock.time = raised
    registry = Registry(database.blobs, database.metadata, clock=database.clock)
    while (report := Collector(registry, GracePeriods(), clock=database.clock).run(timedelta(0))) is not None:
        if report.phase.startswith("adopt links"):
            break
    # An older release writes what the first round has passed.
    started = Registry(database.blobs, database.old, clock=database.clock).uploads.start("a")
    database.forget_entries()
    collect(database, hours=MAX_RELEASE_OVERLAP.total_seconds() / 3600 + 0.1)
    for hours in (25, 2, 2):
        collect(database, hours)

    assert database.metadata.read([started.key])[started.key] is None


def test_a_hidden_link_whose_manifest_an_older_release_forgot_is_collected(database: Database) -> None:
    registry = Registry(database.blobs, database.old, clock=database.clock)
    push_image(registry, "a", "v1")
    raised = database.new().schema_raised()
    assert raised is not None
    database.clock.time = raised
    new = Registry(database.blobs, database.metadata, clock=database.clock)
    kept, gone = (push_image(new, "a") for _ in range(2))
    for each in (kept, gone):
        new.deletion.manifest("a", each.id)
    # As the older release forgets: it knows of no hidden links.
    key = Key(DeletedManifest, gone.id, "a")
    tombstone = database.metadata.read([key])[key]
    assert tombstone is not None
    database.metadata.commit([Delete(tombstone)])
    for hours in (MAX_RELEASE_OVERLAP.total_seconds() / 3600 + 0.1, 2, 2):
        collect(database, hours)

    left = {link.id for link in database.metadata.find(Query(DeletedLink, repository="a", limit=9))}
    assert left == {*kept.blobs} - {*gone.blobs}
    assert new.undelete.manifest("a", kept.id) == [kept.id]
