"""Contracts of the storage drivers.

The registry relies on nothing but these contracts; tests/contracts runs the same suite against every driver.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, NamedTuple, Protocol

from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.query import Query
from lading_storage.records.core import Key, R, Record

MAX_CONTENT_SIZE: Final = 512 * 1024
"""Maximum bytes of a record's `content`: half the size limit of a Firestore document. The other half is for the fields,
which can include a list of 5,000 digests. The limit is the same for every store, so that records can be copied between
stores unchanged."""

UPLOAD_ID: Final = re.compile(r"[a-z0-9-]{2,}")
PART: Final = re.compile(r"[a-z0-9-]+")
"""The two segments of an object's name."""

MAX_RELEASE_OVERLAP: Final = timedelta(hours=2)
"""Maximum time for which processes of two releases write to one store: twice the longest request of the older one."""


class StoredObject(NamedTuple):
    """A durable object, as reported by a blob store.

    Attributes:
        size: bytes.
        crc32c: checksum of the bytes, or None if the store computes none.
    """

    size: int
    crc32c: int | None


def verified_size(chunks: Iterable[bytes], size: int | None) -> Iterator[bytes]:
    """Yield `chunks`, but never more than `size` bytes.

    Args:
        chunks: the body.
        size: the expected number of bytes, or None if it is not known.

    Raises:
        Corrupt: the body has more or fewer than `size` bytes.
    """
    received = 0
    for chunk in chunks:
        received += len(chunk)
        if size is not None and received > size:
            break
        yield chunk
    if size is not None and received != size:
        raise Corrupt(f"the body does not have the expected {size} bytes")


class BlobStore(Protocol):
    """Store of objects. An object is written once under a unique name; only damaged bytes are ever replaced.

    A name is `<upload id>/<part>`: two segments of `[a-z0-9-]`, the first with at least two characters. Names are never
    reused, so deleting an object can never delete a different one. All methods are thread-safe, and raise Unavailable
    if the store fails.
    """

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        """Stream `chunks` into the new object `name`, which is durable when this method returns.

        Args:
            name: a name that was never used.
            chunks: the content. An exception raised by the iterator is passed on, and nothing is stored.
            size: the expected number of bytes, or None if it is not known.

        Raises:
            Corrupt: `chunks` has a different number of bytes, or the store a different checksum; nothing is stored.
            Unavailable: the object may or may not exist.
        """
        ...

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        """Concatenate the objects `parts` into the new object `name`. Durable on return; the parts are kept."""
        ...

    def replace(self, name: str, by: str) -> None:
        """Give the object `name`, which need not exist, the bytes of the object `by`, and remove `by`.

        Atomic, and durable on return: readers, and a restart after a crash at any moment, see either the old or the new
        bytes, complete. After Unavailable or a crash, `by` may still exist.

        Raises:
            ObjectNotFound: `by` does not exist; `name` is unchanged.
        """
        ...

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """Return an iterator over the bytes from `start` up to, but not including, `stop`, in chunks of at most 1 MiB.

        A caller that stops early must close the iterator.

        Raises:
            ObjectNotFound: the object does not exist; raised by this call, not by the iterator.
            Corrupt: the object ends before `stop`. The iterator raises it after the last byte; if there is no byte at
                `start`, this call may raise it.
        """
        ...

    def signed_url(self, name: str) -> str | None:
        """Return a URL from which any client can GET the object for some minutes, or None if the store has no URLs."""
        ...

    def delete(self, name: str) -> None:
        """Delete the object. Does nothing if it does not exist."""
        ...

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        """Return the first `limit` object names, sorted, that start with `prefix` and sort after `after`.

        Foreign files and objects are not listed (see `strays`). A paginated listing of all objects reads each folder
        once, so it may miss an object written in the meantime, unless `prefix` is that of one upload, `<upload id>/`.
        """
        ...

    def strays(self, *, limit: int) -> list[str]:
        """Return the names of the first `limit` foreign files: entries of the store whose names no object can have."""
        ...

    def close(self) -> None:
        """Release connections and open files."""
        ...


def object_exists(blobs: BlobStore, name: str, size: int) -> bool:
    """Return whether `blobs` has an object of exactly `size` bytes, by reading its last byte.

    An object can be lost or truncated with its disk, or by another program with access to it.
    """
    start = max(0, size - 1)
    end = start
    try:
        # One byte more than expected, so that a longer object is detected.
        for chunk in blobs.open(name, start, size + 1):
            end += len(chunk)
    except ObjectNotFound:
        return False
    except Corrupt:
        pass
    return end == size


@dataclass(frozen=True, slots=True)
class Create:
    """Write a record that must not exist yet."""

    record: Record


@dataclass(frozen=True, slots=True)
class Replace:
    """Overwrite a record whose version must still be `record.version`."""

    record: Record


@dataclass(frozen=True, slots=True)
class Touch:
    """Give an existing record a new version and leave its fields unchanged.

    Unlike a Replace of the same record, a Touch changes no index, so that many more of them fit into a commit.

    Attributes:
        key: the record.
        version: the version that the record must still have, or "" for any.
    """

    key: Key[Any]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a record whose version must still be `record.version`."""

    record: Record


@dataclass(frozen=True, slots=True)
class Verify:
    """Require that a record still has a version, and change nothing.

    A commit that relies on a record without changing it verifies it. Other commits can verify the same version at the
    same time.
    """

    key: Key[Any]
    version: str


Write = Create | Replace | Touch | Delete | Verify


def key_of(write: Write) -> Key[Any]:
    """Return the key of the record that `write` changes or verifies."""
    return write.key if isinstance(write, Touch | Verify) else write.record.key


class Found:
    """Result of a read: `found[key]` is the record with that key, or None if there is none."""

    def __init__(self, records: Mapping[Key[Any], Record | None], read_at: datetime | None = None) -> None:
        """Hold `records`.

        Args:
            records: the records that were read, by key; None for each that does not exist.
            read_at: the time of the read by the store's own clock, or None if the store uses this machine's clock.
        """
        self._records = records
        self.read_at = read_at

    def has_read(self, key: Key[Any]) -> bool:
        """Return whether `key` was read, so that `found[key]` is None only if there is no such record."""
        return key in self._records

    def __getitem__(self, key: Key[R]) -> R | None:
        record: R | None = self._records.get(key)  # type: ignore[assignment]  # a key finds its own kind
        return record


class QueueCursor(NamedTuple, Generic[R]):
    """Position in a queue: a record's entry and its key."""

    entry: str
    key: Key[R]


class Queued(NamedTuple, Generic[R]):
    """A queued record, and its entry in the queue as stored."""

    entry: str
    record: R

    @property
    def cursor(self) -> QueueCursor[R]:
        """The cursor after which the next page starts."""
        return QueueCursor(self.entry, self.record.key)


class MetadataStore(Protocol):
    """Store of records, with atomic batches of writes that have preconditions.

    Reads see every commit that returned before they began. All methods are thread-safe, and raise Unavailable if the
    store fails; a commit that raised Unavailable may or may not have been written. A record's `content` has at most
    MAX_CONTENT_SIZE bytes.
    """

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        """Return the records with `keys`, in one round trip, as a consistent snapshot.

        Args:
            keys: keys of any kinds, without duplicates.
            content: whether to read `content` as well. A record read without it must not be written by Replace.
        """
        ...

    def find(self, query: Query[R]) -> list[R]:
        """Return the records that `query` selects, without `content`, in its order."""
        ...

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        """Return records of a kind, of all repositories, that have been queued since `until` or longer.

        Args:
            kind: a kind with that queue in its QUEUES.
            queue: the first word of `Record.due`.
            until: inclusive upper bound of the entries' times. The caller subtracts its own grace period.
            after: the cursor of the last record of the previous page, which need not exist anymore, or None.
            limit: the maximum number of records.

        Returns:
            The first `limit` records, without `content`, sorted by entry, then in an order of the store's own.
            The entry can differ from the record's own `due` if an older release overwrote the record.
            The cost depends on the number of results, not on the number of records.
        """
        ...

    def commit(self, writes: Sequence[Write]) -> None:
        """Apply all of `writes` atomically.

        Every write except Verify gives its record a version that the record never had before. Each key may occur once.

        Raises:
            Conflict: the precondition of a write does not hold; nothing was written.
            TooLarge: the commit exceeds the store's limit; nothing was written.
        """
        ...

    def compact(self, limit: int) -> int:
        """Return the space of deleted records to the file system.

        Calling this is optional, because new records reuse free space.

        Args:
            limit: the maximum bytes to return in this call, which blocks all other writers.

        Returns:
            The free bytes that remain in the store's file; 0 if the store has no file of its own.
        """
        ...

    def schema_raised(self) -> datetime | None:
        """Return when the store was upgraded to this release's schema, or None if no older release wrote any record.

        Processes of the previous release may continue to write for MAX_RELEASE_OVERLAP after that time. Invariants that
        are new in this release hold for records written after that. For all other records they hold once a job has
        migrated the records; until then, code must rely on the invariants of the previous release. The driver's schema
        module lists the invariants in question.
        """
        ...

    def close(self) -> None:
        """Release connections and open files."""
        ...
