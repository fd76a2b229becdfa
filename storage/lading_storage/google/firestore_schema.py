"""Schema version of a Firestore database, and the invariants that hold while an older release still writes.

    lading/schema    {version, raised}

Releases overlap: Cloud Run lets the previous revision finish its requests, which can take up to an hour, and a job may
run in an old environment. So requests only read the schema, once per process, and refuse a newer one. The first process
of a release writes its version and the time, and changes no other document: a resumable job migrates the records of
older releases by rewriting each (Replace). Until then, and for records that an older release writes meanwhile, a new
invariant is relied on only for records written later than MetadataStore.schema_raised() plus MAX_RELEASE_OVERLAP; for
others, only the invariants of the previous release hold. By schema version, these invariants are new:

    3   A queued record has its entry in `due`. An older release creates records without an entry, and its updates keep
        a stale one. So MetadataStore.due may miss a record, or return one with an outdated entry.
    3   A link that only deleted manifests reference is hidden. An older release deletes a manifest and does not update
        its links, so a link whose state is "" may be referenced by no live manifest.
    2   A link has a state. A link written under version 1 is read as unverified (firestore_documents).
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lading_storage.errors import StorageError, StoreNotFound, Unavailable
from lading_storage.google.firestore_reads import Document, FirestoreReads
from lading_storage.google.firestore_retry import single_attempt, translated_errors
from lading_storage.google.google_imports import import_firestore
from lading_storage.stored_version import StoredVersion

if TYPE_CHECKING:
    from google.cloud import firestore

PATH: Final = "lading/schema"

SCHEMA_VERSION: Final = 3
"""Schema version of this release. Version 2 added the states of links, version 3 queues and hidden links."""

MAX_ATTEMPTS: Final = 5
"""Attempts to write the version. If several processes start at the same time, one of them succeeds."""


def stored_version(project: str, database: str) -> StoredVersion:
    """Read the schema version of a database, and change nothing.

    Raises:
        StoreNotFound: the database has no schema.
        Unavailable: Firestore failed.
    """
    reads = FirestoreReads(project, database)
    document = reads.get([PATH]).found.get(PATH)
    if document is None:
        raise StoreNotFound(f"no metadata at {reads.url}")
    return StoredVersion(document.fields["version"], SCHEMA_VERSION)


class FirestoreSchema:
    """Schema of one database, read once per process."""

    def __init__(
        self, reads: FirestoreReads, client: Callable[[], "firestore.Client"], *, create: bool, version: int
    ) -> None:
        """Configure the check; nothing is read yet.

        Args:
            reads: the client for reads of the database.
            client: returns Google's client of the same database. Called only if the version must be written.
            create: whether to write the schema if the database has none.
            version: the schema version that this process writes.
        """
        self._reads = reads
        self._client = client
        self._create = create
        self._version = version
        self._is_checked = False
        self.raised: datetime | None = None
        """See MetadataStore.schema_raised. Valid after `check`."""

    def check(self) -> None:
        """Check, once per process, that this release can use the database. Upgrade the schema if necessary.

        Raises:
            StorageError: a newer release wrote the schema.
            StoreNotFound: the database has no schema, and `create` is false.
            Unavailable: Firestore failed, or other processes kept changing the schema.
        """
        if self._is_checked:
            return
        for _ in range(MAX_ATTEMPTS):
            document = self._reads.get([PATH]).found.get(PATH)
            if document is None and not self._create:
                raise StoreNotFound(f"no registry at {self._reads.url}; use --metadata URL")
            version = document.fields["version"] if document else 0
            if version > self._version:
                raise StorageError(
                    f"the metadata has schema version {version}, of a newer release of Lading; use that release"
                )
            if document and version == self._version:
                self.raised = document.fields.get("raised")
                self._is_checked = True
                return
            self._write(document)
        raise Unavailable(f"Firestore: the schema could not be changed to version {self._version}; try again")

    def _write(self, before: Document | None) -> None:
        """Write this release's version, unless another process changes the schema concurrently."""
        with translated_errors():
            import_firestore()
            from google.api_core import exceptions
            from google.api_core.datetime_helpers import DatetimeWithNanoseconds
            from google.cloud.firestore import SERVER_TIMESTAMP

            client = self._client()
            reference = client.document(PATH)
            try:
                if before is None:
                    # A new database: no older release wrote anything.
                    reference.create({"version": self._version}, **single_attempt())
                else:
                    time = DatetimeWithNanoseconds.from_rfc3339(before.version)  # type: ignore[no-untyped-call]
                    values = {"version": self._version, "raised": SERVER_TIMESTAMP}
                    reference.update(values, client.write_option(last_update_time=time), **single_attempt())
            except (
                exceptions.Conflict,
                exceptions.FailedPrecondition,
                exceptions.ServiceUnavailable,
                exceptions.DeadlineExceeded,
            ):
                # Another process, or an attempt without a response, may have written it: `check` reads it again.
                return
