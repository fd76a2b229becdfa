"""Metadata store in Firestore.

    repositories/{repository}                   a Repository, and the parent of the repository's records
    repositories/{repository}/manifests/{id}    and the other kinds, as drawn in lading_storage.records.core
    blobs/{id}, uploads/{id}
    lading/schema                               the schema version, and the time of its upgrade (firestore_schema)

lading_storage.firestore_documents converts records to documents. A record's version is its document's
update_time. Every write changes the nonce, because a write that changes nothing would keep update_time, and two
concurrent writers would both succeed. Only the fields that queries use are indexed
(lading_storage.firestore_indexes).

Queries and most writes use Google's client library. It is imported at its first use, which a pull never reaches:
documents are read without it (firestore_reads), and the time of the last pull is written without it (firestore_rest).
"""

import itertools
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lading_storage.commit_size import MAX_COMMIT_SIZE, size_of
from lading_storage.errors import Conflict, TooLarge, Unavailable
from lading_storage.firestore_documents import (
    collection_of,
    fields_of,
    new_nonce,
    path_of,
    queue_entry,
    record_found,
    record_in,
)
from lading_storage.google.firestore_reads import FirestoreReads
from lading_storage.google.firestore_rest import FirestoreCommits, is_rest_commit
from lading_storage.google.firestore_retry import (
    retry_transient,
    single_attempt,
    translated_conflicts,
    translated_errors,
)
from lading_storage.google.firestore_schema import SCHEMA_VERSION, FirestoreSchema
from lading_storage.google.google_imports import import_firestore
from lading_storage.protocols import (
    Create,
    Delete,
    Found,
    QueueCursor,
    Queued,
    Replace,
    Touch,
    Verify,
    Write,
    key_of,
)
from lading_storage.query import Query
from lading_storage.records.core import Key, R, Record, due_entry
from lading_storage.records.fields import layout_of

if TYPE_CHECKING:
    from google.cloud import firestore


class FirestoreMetadata:
    """MetadataStore in one Firestore database, in native mode."""

    def __init__(
        self,
        project: str,
        database: str = "(default)",
        create: bool = True,
        schema_version: int = SCHEMA_VERSION,
    ) -> None:
        """Use the database, or an emulator if FIRESTORE_EMULATOR_HOST is set.

        The first request checks the schema version. It raises StorageError if a newer release wrote the schema, and
        StoreNotFound if the database has no schema and `create` is false.

        Args:
            project: the project of the database.
            database: the name of the database.
            create: whether to write the schema if the database has none.
            schema_version: the schema version that this process writes.
        """
        self._project = project
        self._database = database
        self._reads = FirestoreReads(project, database)
        self._rest_commits = FirestoreCommits(self._reads)
        self._schema = FirestoreSchema(self._reads, lambda: self._client, create=create, version=schema_version)

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        """See MetadataStore.read."""
        self._schema.check()
        paths = {path_of(key): key for key in keys}
        kinds = {key.kind for key in keys}
        fields = () if content else sorted({field for kind in kinds for field in layout_of(kind).listed})
        found, read_at = self._reads.get(list(paths), fields)
        records: dict[Key[Any], Record | None] = dict.fromkeys(keys)
        records |= {paths[path]: record_in(paths[path], each.fields, each.version) for path, each in found.items()}
        return Found(records, read_at)

    def find(self, query: Query[R]) -> list[R]:
        """See MetadataStore.find. With fields, sorted by document name: by repository, then id."""
        kind = query.kind
        if query.repository is None:
            source: Any = self._client.collection_group(kind.KIND)
        else:
            source = self._collection(kind, query.repository)
        from google.cloud.firestore_v1.base_query import FieldFilter

        selected = _without_content(kind, source)
        for field, value in query.where.items():
            operator = "array_contains" if field in layout_of(kind).arrays else "=="
            selected = selected.where(filter=FieldFilter(field, operator, value))
        selected = selected.order_by("__name__" if query.where else "position").limit(query.limit)
        if query.after:
            selected = selected.start_after(self._cursor(query))
        return [record_found(kind, values, version) for values, version in self._rows(selected)]

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        """See MetadataStore.due. Sorted by entry, then by document."""
        assert queue in kind.QUEUES
        from google.cloud.firestore_v1.base_query import FieldFilter

        query = _without_content(kind, self._client.collection_group(kind.KIND), "due")
        query = query.where(filter=FieldFilter("due", ">", f"{queue} "))
        query = query.where(filter=FieldFilter("due", "<=", due_entry(queue, until)))
        query = query.order_by("due").order_by("__name__").limit(limit)
        if after is not None:
            query = query.start_after({"due": after.entry, "__name__": self._document(after.key)})
        return [Queued(values["due"], record_found(kind, values, version)) for values, version in self._rows(query)]

    def commit(self, writes: Sequence[Write]) -> None:
        """See MetadataStore.commit. A commit without a response is retried, although it may have been written."""
        self._schema.check()
        if (size := size_of(writes)) > MAX_COMMIT_SIZE:
            raise TooLarge(f"Firestore: a commit of {len(writes)} writes has {size} bytes, more than {MAX_COMMIT_SIZE}")
        if is_rest_commit(writes):
            self._rest_commits.commit(writes)
            return
        with translated_errors():
            batch, nonce = self._client.batch(), new_nonce()
            for write in writes:
                self._add(batch, write, nonce)
            written = [path_of(key_of(write)) for write in writes if not isinstance(write, Delete | Verify)]
            attempts = itertools.count()
            retry_transient(lambda: self._commit(batch, written if next(attempts) else None, nonce))

    def schema_raised(self) -> datetime | None:
        """See MetadataStore.schema_raised."""
        self._schema.check()
        return self._schema.raised

    def compact(self, limit: int) -> int:
        """Return 0: Firestore has no file to compact. See MetadataStore.compact."""
        return 0

    def close(self) -> None:
        """Close the connections."""
        self._reads.close()
        if "_client" in vars(self):
            self._client.close()  # type: ignore[no-untyped-call]

    @cached_property
    def _client(self) -> "firestore.Client":
        import_firestore()
        from google.cloud import firestore

        return firestore.Client(project=self._project, database=self._database)

    def _commit(self, batch: "firestore.WriteBatch", written: Sequence[str] | None, nonce: str) -> None:
        """Make one attempt at a commit.

        Args:
            batch: the commit.
            written: paths of the documents that an earlier attempt may have written, or None in the first attempt.
            nonce: the nonce in these documents.

        Raises:
            Conflict: a precondition does not hold; nothing was written.
            TooLarge: the commit exceeds Firestore's limit; nothing was written.
            Unavailable: it cannot be determined whether an earlier attempt was written.
        """
        try:
            with translated_conflicts():
                batch.commit(**single_attempt())
        except Conflict as error:
            if written is None:
                raise
            documents = self._reads.get(written).found
            if not any(document.fields["nonce"] == nonce for document in documents.values()):
                raise Unavailable(f"Firestore: a commit may or may not have been written: {error}") from error

    def _add(self, batch: "firestore.WriteBatch", write: Write, nonce: str) -> None:
        """Add a write with its precondition to the batch."""
        match write:
            case Create(record):
                batch.create(self._document(record.key), fields_of(record, nonce) | queue_entry(record))
            case Replace(record):
                # `update` with all fields in its mask is a replacement that accepts a precondition.
                values = fields_of(record, nonce) | (queue_entry(record) or _no_queue_entry())
                batch.update(self._document(record.key), values, option=self._at_version(record.version))
            case Delete(record):
                batch.delete(self._document(record.key), option=self._at_version(record.version))
            case Touch(key, version):
                option = self._at_version(version) if version else None
                batch.update(self._document(key), {"nonce": nonce}, option=option)
            case Verify(key, version):
                # A write that changes nothing keeps update_time, so that concurrent commits do not conflict by it
                # (https://cloud.google.com/firestore/docs/reference/rest/v1/WriteResult).
                batch.update(self._document(key), {"id": key.id}, option=self._at_version(version))

    def _at_version(self, version: str) -> "firestore.WriteOption":
        """Return the precondition that a document has a version."""
        from google.api_core.datetime_helpers import DatetimeWithNanoseconds

        time = DatetimeWithNanoseconds.from_rfc3339(version)  # type: ignore[no-untyped-call]
        return self._client.write_option(last_update_time=time)

    def _document(self, key: Key[Any]) -> "firestore.DocumentReference":
        return self._client.document(path_of(key))

    def _collection(self, kind: type[Record], repository: str) -> "firestore.CollectionReference":
        return self._client.collection(collection_of(kind, repository))

    def _cursor(self, query: Query[R]) -> dict[str, Any]:
        """Return the values of the order's field after which the page starts."""
        if not query.where:
            return {"position": query.kind.order(query.after)}
        repository = query.after_repository if query.repository is None else query.repository
        return {"__name__": self._document(Key(query.kind, query.after, repository))}

    def _rows(self, query: "firestore.Query") -> list[tuple[dict[str, Any], str]]:
        """Return the fields and the version of each result of a query."""
        self._schema.check()
        with translated_errors():
            snapshots = retry_transient(lambda: list(query.stream(**single_attempt())))
        return [(snapshot.to_dict() or {}, _version(snapshot.update_time)) for snapshot in snapshots]


def _without_content(kind: type[Record], source: Any, *others: str) -> Any:
    """Return a query of `source` for all fields of a kind except `content`, which listings omit, and for `others`."""
    return source.select([*layout_of(kind).listed, *others])


def _no_queue_entry() -> dict[str, Any]:
    from google.cloud.firestore import DELETE_FIELD

    return {"due": DELETE_FIELD}


def _version(update_time: Any) -> str:
    """Return an update_time in nanoseconds, as RFC 3339. Collection group queries return it as a plain Timestamp."""
    from google.api_core.datetime_helpers import DatetimeWithNanoseconds
    from google.protobuf.timestamp_pb2 import Timestamp

    if isinstance(update_time, Timestamp):
        update_time = DatetimeWithNanoseconds.from_timestamp_pb(update_time)  # type: ignore[no-untyped-call]
    version: str = update_time.rfc3339()
    return version
