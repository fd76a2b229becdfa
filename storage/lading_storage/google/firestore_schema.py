"""The version of a database's layout, and since when: what may be relied on while an older release writes.

    lading/schema    {version, raised}

Releases overlap: Cloud Run lets the revision before finish its requests, which last up to an hour, and a job may run in
an old environment. So a request only reads the schema, once in a process, and refuses a newer one. The first process of
a release writes its version, and the time. It changes no other document: what older releases wrote is adopted by a job
in slices, which writes each record anew (Replace). Until then, and for what an older release writes meanwhile, a new
invariant is relied on only for records that were written later than MetadataStore.schema_raised() and OVERLAP; else the
older proof holds. The invariants that this concerns:

    3   a record that waits in a queue has its entry, `due`: an older release creates records without one, and its
        updates leave a stale one. So MetadataStore.due may miss a record, or find one by an entry that is not its own.
    3   a link that only deleted manifests name is hidden: an older release deletes a manifest and leaves its links as
        they are, so a link whose state is "" may be named by nothing that lives.
    2   a link has a state: one that a release of version 1 wrote is read as loose (firestore_documents).
"""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lading_storage.errors import StorageError, StoreNotFound, Unavailable
from lading_storage.google.firestore_reads import Document, FirestoreReads
from lading_storage.google.firestore_retry import single_attempt, translated_errors
from lading_storage.google.google_imports import import_firestore

if TYPE_CHECKING:
    from google.cloud import firestore

PATH: Final = "lading/schema"

SCHEMA_VERSION: Final = 3
"""Of this release: 2 brought the states of links, 3 queues and hidden links."""

MAX_ATTEMPTS: Final = 5
"""To write the version: of several processes that start at once, one does."""


class FirestoreSchema:
    """The schema of one database, read once."""

    def __init__(
        self, reads: FirestoreReads, client: Callable[[], "firestore.Client"], *, create: bool, version: int
    ) -> None:
        """Read by `reads`, and write by `client`, which is asked for only where the version is to be written.

        Args:
            reads: of the database.
            client: gives Google's client of the same database.
            create: whether a database without a schema is laid out.
            version: of the layout that this process writes.
        """
        self._reads = reads
        self._client = client
        self._create = create
        self._version = version
        self._seen = False
        self.raised: datetime | None = None
        """See MetadataStore.schema_raised; valid after `check`."""

    def check(self) -> None:
        """Make sure, once in a process, that this release may use the database.

        Raises:
            StorageError: its layout is of a newer release.
            StoreNotFound: it has none, and none is to be made.
        """
        if self._seen:
            return
        for _ in range(MAX_ATTEMPTS):
            document = self._reads.get([PATH]).found.get(PATH)
            if document is None and not self._create:
                raise StoreNotFound(f"no registry at {self._reads.url}; use --metadata URL")
            version = document.fields["version"] if document else 0
            if version > self._version:
                raise StorageError(f"the metadata has schema version {version}, of a newer release of Lading")
            if document and version == self._version:
                self.raised = document.fields.get("raised")
                self._seen = True
                return
            self._write(document)
        raise Unavailable(f"Firestore: the schema did not become version {self._version}")

    def _write(self, before: Document | None) -> None:
        """Write this release's version, unless another process writes the schema meanwhile."""
        with translated_errors():
            import_firestore()
            from google.api_core import exceptions as said
            from google.api_core.datetime_helpers import DatetimeWithNanoseconds
            from google.cloud.firestore import SERVER_TIMESTAMP

            client = self._client()
            reference = client.document(PATH)
            try:
                if before is None:
                    # Nothing was written by an older release.
                    reference.create({"version": self._version}, **single_attempt())
                else:
                    time = DatetimeWithNanoseconds.from_rfc3339(before.version)  # type: ignore[no-untyped-call]
                    values = {"version": self._version, "raised": SERVER_TIMESTAMP}
                    reference.update(values, client.write_option(last_update_time=time), **single_attempt())
            except (said.Conflict, said.FailedPrecondition, said.ServiceUnavailable, said.DeadlineExceeded):
                # Another process was faster, or perhaps this one: the next look tells.
                return
