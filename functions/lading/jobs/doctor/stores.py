"""Checks of the stores: they are written to, read, and left as they were."""

import contextlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cached_property
from typing import Final

import requests

from lading.jobs.doctor.checks import Check, CheckFailed, CheckSkipped
from lading_storage.errors import StorageError
from lading_storage.protocols import BlobStore, Create, Delete, MetadataStore
from lading_storage.records.core import Upload
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS, KINDS

CONTENT: Final = b"written by lading doctor, and removed at once"
TIMEOUTS: Final = (5, 10)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any record waits in a queue."""

BUCKET: Final = (
    "is the bucket or folder there, and may the account of the registry write, read, delete and list in it?"
    " (on a bucket: roles/storage.objectUser)"
)
DATABASE: Final = (
    "is the database there, in native mode, and may the account of the registry read and write in it?"
    " (roles/datastore.user)"
)
INDEX: Final = "declare the index, ascending, for the collection group: the Terraform module does"
NO_SIGNER: Final = (
    "run this as the account of the registry (gcloud auth application-default login --impersonate-service-account=…),"
    " or give the registry an --hmac-key: a person's credentials cannot sign"
)
SIGNING: Final = "grant the account of the registry roles/iam.serviceAccountTokenCreator on itself, or use --hmac-key"
REFUSED_URL: Final = (
    "SignatureDoesNotMatch: the HMAC key is another one, or this clock is wrong;"
    " AccessDenied: whoever signs needs storage.objects.get on the bucket"
)


class StoreChecks:
    """Checks of a blob store and a metadata store."""

    def __init__(
        self, open_blobs: Callable[[], BlobStore], open_metadata: Callable[[], MetadataStore], in_cloud: bool
    ) -> None:
        """Check the stores that these open; `in_cloud` says that pulls must be redirected."""
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
        """All of them, in order."""
        return [
            Check("bucket", self.bucket),
            Check("database", self.database),
            Check("indexes", self.indexes),
            Check("signing", self.signing),
        ]

    def bucket(self) -> str:
        """An object is written, read, listed and deleted."""
        name = _new_name()
        try:
            self._blobs.append(name, [CONTENT], len(CONTENT))
            read = b"".join(self._blobs.open(name, 0, len(CONTENT)))
            listed = self._blobs.names(name, limit=1)
            self._blobs.delete(name)
            left = self._blobs.names(name, limit=1)
        except StorageError as error:
            raise CheckFailed(error, BUCKET) from error
        if (read, listed, left) != (CONTENT, [name], []):
            raise CheckFailed("what was written was not read, listed or deleted", BUCKET)
        return "an object was written, read, listed and deleted"

    def database(self) -> str:
        """A record, which says that it is a session that has ended, is written, read and deleted."""
        now = datetime.now(UTC)
        session = Upload(id=secrets.token_hex(16), target="lading/doctor", cancelled=True, created=now, touched=now)
        try:
            self._metadata.commit([Create(session)])
            read = self._metadata.read([session.key])[session.key]
            self._metadata.commit([Delete(read or session)])
            left = self._metadata.read([session.key])[session.key]
        except StorageError as error:
            raise CheckFailed(error, DATABASE) from error
        if read != session or left is not None:
            raise CheckFailed("what was written was not read, or not deleted", DATABASE)
        return "a record was written, read and deleted"

    def indexes(self) -> str:
        """Every query that looks into all repositories is answered, though with nothing."""
        for kind, field in CROSS_REPOSITORY_FIELDS:
            try:
                self._metadata.find(kind, {field: "lading-doctor"}, repository=None, limit=1)
            except StorageError as error:
                raise CheckFailed(f"{kind.KIND} by {field}: {error}", INDEX) from error
        queues = [(kind, kind.QUEUES[0]) for kind in KINDS if kind.QUEUES]
        for kind, queue in queues:
            try:
                self._metadata.due(kind, queue, EPOCH, limit=1)
            except StorageError as error:
                raise CheckFailed(f"{kind.KIND} by due: {error}", INDEX) from error
        return f"{len(CROSS_REPOSITORY_FIELDS) + len(queues)} queries of all repositories are answered"

    def signing(self) -> str:
        """A signed URL reads an object, without any credentials."""
        name = _new_name()
        try:
            self._blobs.append(name, [CONTENT], len(CONTENT))
        except StorageError:
            raise CheckSkipped("nothing can be written that could be read") from None
        try:
            return self._redirected(name)
        except StorageError as error:
            raise CheckFailed(error, SIGNING) from error
        finally:
            # Where this fails, the check of the bucket has told.
            with contextlib.suppress(StorageError):
                self._blobs.delete(name)

    def _redirected(self, name: str) -> str:
        url = self._blobs.signed_url(name)
        if url is None:
            if self._in_cloud:
                raise CheckFailed("nobody signs", NO_SIGNER)
            raise CheckSkipped("a folder has no URLs: blobs are streamed")
        try:
            answer = requests.get(url, timeout=TIMEOUTS)
        except requests.RequestException as error:
            raise CheckFailed(f"a signed URL cannot be read: {type(error).__name__}", REFUSED_URL) from None
        if (answer.status_code, answer.content) != (200, CONTENT):
            raise CheckFailed(f"a signed URL is answered {answer.status_code}: {answer.text[:200]}", REFUSED_URL)
        return "a signed URL was read"


def _new_name() -> str:
    return f"{secrets.token_hex(16)}/doctor"
