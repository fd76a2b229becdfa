"""Checks of the stores: write, read and delete an object and a record."""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import requests

from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped
from lading.registry import owner_mark
from lading.registry.identity import known_identity
from lading_storage.errors import StorageError
from lading_storage.protocols import BlobStore, Create, Delete, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Upload
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS, KINDS

CONTENT: Final = b"written by lading doctor, and removed at once"
TIMEOUTS: Final = (5, 10)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""A time before the queue entry of any record."""

BUCKET_REMEDY: Final = (
    "check that the bucket or folder exists, and that the account of the registry can write, read, delete and list in"
    " it (on a bucket: roles/storage.objectUser)"
)
DATABASE_REMEDY: Final = (
    "check that the database exists, in native mode, and that the account of the registry can read and write in it"
    " (roles/datastore.user)"
)
INDEX_REMEDY: Final = "create the index, ascending, for the collection group, as the Terraform module does"
NO_SIGNER_REMEDY: Final = (
    "run this as the account of the registry (gcloud auth application-default login --impersonate-service-account=…),"
    " or give the registry an --hmac-key: user credentials cannot sign"
)
SIGNING_REMEDY: Final = (
    "grant the account of the registry roles/iam.serviceAccountTokenCreator on itself, or use --hmac-key"
)
SIGNED_URL_REMEDY: Final = (
    "SignatureDoesNotMatch: the HMAC key does not match, or this machine's clock is wrong;"
    " AccessDenied: the signing account needs storage.objects.get on the bucket"
)


class StoreChecks:
    """Checks of a blob store and a metadata store."""

    def __init__(
        self, open_blobs: Callable[[], BlobStore], open_metadata: Callable[[], MetadataStore], in_cloud: bool
    ) -> None:
        """Check two stores.

        Args:
            open_blobs: opens the blob store.
            open_metadata: opens the metadata store.
            in_cloud: whether pulls are redirected, so that the blob store must be able to sign URLs.
        """
        self._open_blobs = open_blobs
        self._open_metadata = open_metadata
        self._in_cloud = in_cloud

    @cached_property
    def _blobs(self) -> BlobStore:
        return self._open_blobs()

    @cached_property
    def _metadata(self) -> MetadataStore:
        return self._open_metadata()

    def checks(self) -> list[Check]:
        """Return the checks, in order."""
        return [
            Check("bucket", self.bucket),
            Check("database", self.database),
            Check("indexes", self.indexes),
            Check("signing", self.signing),
            Check("owner", self.owner),
        ]

    def bucket(self) -> str:
        """Check that an object can be written, read, listed and deleted."""
        try:
            with self._temporary_object() as name:
                read = b"".join(self._blobs.open(name, 0, len(CONTENT)))
                listed = self._blobs.names(name, limit=1)
            rest = self._blobs.names(name, limit=1)
        except StorageError as error:
            raise CheckFailed(error, BUCKET_REMEDY) from error
        if (read, listed, rest) != (CONTENT, [name], []):
            raise CheckFailed("an object was written, but not read, listed or deleted correctly", BUCKET_REMEDY)
        return "an object was written, read, listed and deleted"

    def database(self) -> str:
        """Check that a record, of an ended upload session, can be written, read and deleted."""
        now = datetime.now(UTC)
        session = Upload(id=secrets.token_hex(16), target="lading/doctor", cancelled=True, created=now, touched=now)
        left = ""
        try:
            self._metadata.commit([Create(session)])
            left = f"; the ended upload session {session.id} is left, which garbage collection removes"
            read = self._metadata.read([session.key])[session.key]
            self._metadata.commit([Delete(read or session)])
            rest = self._metadata.read([session.key])[session.key]
        except StorageError as error:
            raise CheckFailed(f"{error}{left}", DATABASE_REMEDY) from error
        if read != session or rest is not None:
            raise CheckFailed("a record was written, but not read or deleted correctly", DATABASE_REMEDY)
        return "a record was written, read and deleted"

    def indexes(self) -> str:
        """Check that every query across repositories has its index; the queries match nothing."""
        for kind, field in CROSS_REPOSITORY_FIELDS:
            try:
                self._metadata.find(Query(kind, {field: "lading-doctor"}, repository=None, limit=1))
            except StorageError as error:
                raise CheckFailed(f"{kind.KIND} by {field}: {error}", INDEX_REMEDY) from error
        queues = [(kind, kind.QUEUES[0]) for kind in KINDS if kind.QUEUES]
        for kind, queue in queues:
            try:
                self._metadata.due(kind, queue, EPOCH, limit=1)
            except StorageError as error:
                raise CheckFailed(f"{kind.KIND} by due: {error}", INDEX_REMEDY) from error
        return f"{len(CROSS_REPOSITORY_FIELDS) + len(queues)} queries across repositories succeeded"

    def owner(self) -> str:
        """Check that the blob store is not marked as another registry's. Writes nothing."""
        try:
            own, found = known_identity(self._metadata), owner_mark.marks(self._blobs)
        except StorageError:
            raise CheckSkipped("the stores cannot be read") from None
        if set(found) - {own}:
            raise CheckFailed(owner_mark.foreign_text(own or "without an identity", found), owner_mark.REMEDY)
        return "the blob store is marked as this registry's" if found else "not marked yet; a collection marks it"

    def signing(self) -> str:
        """Check that a signed URL reads an object, without credentials."""
        try:
            with self._temporary_object() as name:
                try:
                    return self._read_signed_url(name)
                except StorageError as error:
                    raise CheckFailed(error, SIGNING_REMEDY) from error
        except StorageError:
            raise CheckSkipped("no object can be written that a signed URL could read") from None

    @contextlib.contextmanager
    def _temporary_object(self) -> Iterator[str]:
        """Yield the name of a new object, and delete it at the end of the block.

        Raises:
            StorageError: it cannot be written.
            CheckFailed: it cannot be deleted; the message says what is left, and how to remove it.
        """
        name = f"{secrets.token_hex(16)}/doctor"
        self._blobs.append(name, [CONTENT], len(CONTENT))
        try:
            yield name
        finally:
            try:
                self._blobs.delete(name)
            except StorageError as error:
                remedy = f"{BUCKET_REMEDY}; then `lading scrub --repair` and garbage collection remove the object"
                raise CheckFailed(f"{error}; the object {name} is left", remedy) from error

    def _read_signed_url(self, name: str) -> str:
        url = self._blobs.signed_url(name)
        if url is None:
            if self._in_cloud:
                raise CheckFailed("there are no credentials that can sign URLs", NO_SIGNER_REMEDY)
            raise CheckSkipped("a folder has no URLs: blobs are streamed")
        try:
            response = requests.get(url, timeout=TIMEOUTS)
        except requests.RequestException as error:
            raise CheckFailed(f"a signed URL cannot be read: {type(error).__name__}", SIGNED_URL_REMEDY) from None
        if (response.status_code, response.content) != (200, CONTENT):
            problem = f"a signed URL gets {response.status_code}: {response.text[:200]}"
            raise CheckFailed(problem, SIGNED_URL_REMEDY)
        return "a signed URL was read"
