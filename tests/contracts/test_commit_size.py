"""How large Firestore takes a commit to be, by the examples on its own pages, and who refuses one that is larger."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from google.api_core.exceptions import InvalidArgument
from google.cloud.firestore import WriteBatch

from emulators import Emulators
from lading import settings
from lading.composition import open_metadata
from lading_storage import commit_size
from lading_storage.commit_size import MAX_COMMIT_SIZE, document_size, entry_size, name_size, size_of
from lading_storage.digests import digest_of
from lading_storage.errors import TooLarge, Unavailable
from lading_storage.firestore_documents import fields_of, path_of
from lading_storage.firestore_indexes import COLLECTION, COLLECTION_GROUP
from lading_storage.google.firestore import FirestoreMetadata
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Delete, Replace, Touch, Write
from lading_storage.records.core import UNVERIFIED, Link, Manifest, Record, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.fields import converted
from tests.support.record_examples import EXAMPLES

NOW = datetime(2026, 11, 1, 12, 30, 15, 123456, tzinfo=UTC)
TASK = "users/jeff/tasks/my_task_id"
FIELDS = {"type": "Personal", "done": False, "priority": 1, "description": "Learn Cloud Firestore"}


def link(number: int, **fields: object) -> Link:
    values = {"object": f"{number:032x}/0", "size": 1, "created": NOW} | fields
    return Link(id=digest_of(b"%d" % number), repository="team/app", **values)  # type: ignore[arg-type]


def manifest(number: int, count: int = 0, **fields: object) -> Manifest:
    """A manifest that names `count` blobs."""
    blobs = tuple(digest_of(b"%d" % (number * count + each)) for each in range(count))
    values = {"media_type": "a/b", "size": 3, "created": NOW, "blobs": blobs} | fields
    return Manifest(id=digest_of(b"m%d" % number), repository="team/app", **values)  # type: ignore[arg-type]


def test_sizes_are_those_of_googles_examples() -> None:
    # https://firebase.google.com/docs/firestore/storage-size
    assert name_size(TASK) == 44
    assert document_size(TASK, FIELDS) == 147
    assert entry_size(TASK, "done", False, COLLECTION) == 109
    assert entry_size(TASK, "done", False, COLLECTION_GROUP) == 98


def test_an_array_has_an_entry_for_each_item() -> None:
    few, many = manifest(1, 10), manifest(1, 11)
    digest = many.blobs[-1]
    entry = entry_size(path_of(many.key), "blobs", digest, COLLECTION)

    assert size_of([Create(many)]) - size_of([Create(few)]) == entry + len(digest) + 1


def test_a_touch_counts_a_document_and_no_entries() -> None:
    named = link(1)
    document = document_size(path_of(named.key), fields_of(named, "0" * 16))

    assert document <= size_of([Touch(named.key)]) < document * 1.5
    assert size_of([Touch(named.key)]) < size_of([Replace(named)])


def test_what_leaves_the_indexes_counts() -> None:
    # Whether the one that it replaces waited in a queue is not known.
    loose, named = link(1, state=UNVERIFIED, since=NOW), link(1, since=NOW)
    entry = entry_size(path_of(loose.key), "due", commit_size.ENTRY, COLLECTION_GROUP)

    assert size_of([Replace(named)]) - document_size(path_of(named.key), fields_of(named, "0" * 16)) >= entry
    assert size_of([Delete(loose)]) == size_of([Create(loose)])


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: record.KIND)
def test_every_kind_has_a_size(record: Record) -> None:
    for write in (Create(record), Replace(record), Delete(record), Touch(record.key)):
        assert 100 < size_of([write]) < 10_000


def test_what_a_listing_leaves_out_counts_when_it_is_deleted() -> None:
    whole = manifest(1, content=b"x" * 5000, size=5000)
    listed = manifest(1, size=5000)
    tag = Tag(id="v1", repository="team/app", digest=whole.id, media_type="a/b", size=5000, moved=NOW)

    assert size_of([Delete(listed)]) >= size_of([Delete(whole)])
    assert size_of([Delete(tag)]) - size_of([Create(tag)]) == 5000
    assert size_of([Delete(manifest(1, size=5000, object="u/0"))]) < 2000


@pytest.fixture
def metadata(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[FirestoreMetadata]:
    for name, value in emulators.fresh_stores().items():
        monkeypatch.setenv(name, value)
    opened = open_metadata(settings.load_settings(os.environ).metadata)
    assert isinstance(opened, FirestoreMetadata)
    # The first request writes the schema.
    opened.read([link(1).key])
    yield opened
    opened.close()


def test_a_commit_that_firestore_would_not_take_is_refused(metadata: FirestoreMetadata) -> None:
    contents = [manifest(number, content=b"x" * MAX_CONTENT_SIZE, size=MAX_CONTENT_SIZE) for number in range(20)]
    assert size_of(map(Create, contents)) > MAX_COMMIT_SIZE

    with pytest.raises(TooLarge, match="20 writes"):
        metadata.commit([*map(Create, contents)])
    assert metadata.read([contents[0].key])[contents[0].key] is None
    metadata.commit([*map(Create, contents[:5])])


@pytest.mark.parametrize(
    "words",
    [
        "Transaction too big. Decrease transaction size.",
        "Request payload size exceeds the limit: 10485760 bytes.",
        "Document cannot be written because its size (1,090,000 bytes) exceeds the maximum allowed size.",
    ],
)
def test_what_firestore_says_of_the_size_is_told(
    metadata: FirestoreMetadata, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InvalidArgument(words)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(WriteBatch, "commit", refuse)
    with pytest.raises(TooLarge, match=words[:20]):
        metadata.commit([Create(link(1))])


def test_any_other_invalid_argument_is_not_about_the_size(
    metadata: FirestoreMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InvalidArgument("the project has no such database")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(WriteBatch, "commit", refuse)
    with pytest.raises(Unavailable):
        metadata.commit([Create(link(1))])


def test_what_is_sent_is_never_larger_than_what_is_counted(
    metadata: FirestoreMetadata, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A request may have no more bytes than a commit.
    writes: list[Write] = []
    for number in range(50):
        image = manifest(number, 40, content=b"x" * 500)
        dead = converted(image, DeletedManifest, deleted=NOW, cause="team/app")
        writes += [Create(image), Create(dead), *(Create(link(number * 40 + each)) for each in range(3))]
    sent: list[WriteBatch] = []
    monkeypatch.setattr(WriteBatch, "commit", lambda batch, **_: sent.append(batch))

    metadata.commit(writes)

    (batch,) = sent
    assert sum(len(type(each).serialize(each)) for each in batch._write_pbs) <= size_of(writes)
