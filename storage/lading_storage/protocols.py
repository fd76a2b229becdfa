"""What every driver promises. The registry's rules rest on these words alone; tests/contracts holds drivers to them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, NamedTuple, Protocol

from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.records.core import Key, R, Record

MAX_CONTENT_SIZE: Final = 512 * 1024
"""Bytes: half of what a Firestore document may have; the rest is for fields, a list of 5,000 digests among them.
The same for every store, so that records can be copied between stores as they are."""


UPLOAD_ID: Final = re.compile(r"[a-z0-9-]{2,}")
PART: Final = re.compile(r"[a-z0-9-]+")
"""The two segments of an object's name."""


MAX_RELEASE_OVERLAP: Final = timedelta(hours=2)
"""How long processes of two releases may write to one store: the longest request of the older one, twice."""


class StoredObject(NamedTuple):
    """What a blob store says of an object that is now durable: its bytes, and their CRC-32C where it keeps one."""

    size: int
    crc32c: int | None


def verified_size(chunks: Iterable[bytes], size: int | None) -> Iterator[bytes]:
    """`chunks`, and never a byte more than `size`, where that is known. Raises Corrupt where there are not so many."""
    seen = 0
    for chunk in chunks:
        seen += len(chunk)
        if size is not None and seen > size:
            break
        yield chunk
    if size is not None and seen != size:
        raise Corrupt(f"a body of {size} bytes has another number of bytes")


class BlobStore(Protocol):
    """Objects: written once under a name of their own, and replaced only by the bytes that they have lost.

    A name is `<upload id>/<part>`: two segments of `[a-z0-9-]`, the first of two characters at least. Names are never
    used twice, so deleting an object can never hit another one. All methods may be called from any thread, and raise
    Unavailable where the store fails.
    """

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        """Write all of `chunks`, as they come, into the new object `name`; it is durable when this returns.

        `size` is the number of bytes to come, where that is known. Whatever `chunks` raises is passed on, and nothing
        is kept. Raises Corrupt, and keeps nothing, where `chunks` has another number of bytes, or the store another
        checksum. After Unavailable the object may be there or not.
        """
        ...

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        """Make the new object `name` of the bytes of the objects `parts`, in order; they stay. Durable on return."""
        ...

    def replace(self, name: str, by: str) -> None:
        """Make `name`, whether it exists or not, an object with the bytes of the object `by`, which is removed.

        Atomic and durable on return: readers and a crash at any moment leave `name` as it was or whole. After
        Unavailable, or a crash, `by` may still exist. Raises Missing where `by` does not exist; `name` is unchanged.
        """
        ...

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to, not including, `stop`, in pieces of at most 1 MiB.

        Raises Missing at once, not at the first piece. Where there are not so many bytes, gives those that there are,
        then raises Corrupt; at once where there are none. Whoever stops early must close the iterator.
        """
        ...

    def signed_url(self, name: str) -> str | None:
        """A URL from which anyone can GET the object for the next minutes; None where the store has none."""
        ...

    def delete(self, name: str) -> None:
        """Remove the object; nothing happens where there is none."""
        ...

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        """The first `limit` names that begin with `prefix` and sort behind `after`, sorted.

        What is no object is not listed, whoever left it there. A listing of all objects, page by page, reads each
        folder once; what is written meanwhile may be missed, unless `prefix` is that of one upload, `<upload id>/`.
        """
        ...

    def strays(self, *, limit: int) -> list[str]:
        """Return the names of the first `limit` things among the objects that cannot be objects: somebody else's."""
        ...

    def close(self) -> None:
        """Give back what the store holds open."""
        ...


def object_exists(blobs: BlobStore, name: str, size: int) -> bool:
    """Return whether `blobs` has an object of exactly `size` bytes, by reading its last byte.

    It can be lost or cut with the disk that it is on, or by anybody who can reach it.
    """
    start = max(0, size - 1)
    seen = start
    try:
        # One byte more than there should be, so that a longer object shows.
        for piece in blobs.open(name, start, size + 1):
            seen += len(piece)
    except ObjectNotFound:
        return False
    except Corrupt:
        pass
    return seen == size


@dataclass(frozen=True, slots=True)
class Create:
    """Write a record that must not exist."""

    record: Record


@dataclass(frozen=True, slots=True)
class Replace:
    """Write over a record that must still be at the version that `record` carries."""

    record: Record


@dataclass(frozen=True, slots=True)
class Touch:
    """Give a record that must exist a new version, and leave its fields alone.

    version  the version at which it must still be, or "" for any. Unlike a Replace of the same record it changes no
             index, so that many more fit into a commit
    """

    key: Key[Any]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a record that must still be at the version that `record` carries."""

    record: Record


Write = Create | Replace | Touch | Delete


def key_of(write: Write) -> Key[Any]:
    """Return the key of the record that a write is about."""
    return write.key if isinstance(write, Touch) else write.record.key


class Found:
    """What a read found: `found[key]` is the record of that key, or None where there is none."""

    def __init__(self, records: Mapping[Key[Any], Record | None], read_at: datetime | None = None) -> None:
        """Hold `records`, each under its own key.

        read_at  the store's own time of the read, or None where the store goes by this machine's clock
        """
        self._records = records
        self.read_at = read_at

    def __getitem__(self, key: Key[R]) -> R | None:
        record: R | None = self._records.get(key)  # type: ignore[assignment]  # a key finds its own kind
        return record


class QueueCursor(NamedTuple, Generic[R]):
    """A place in a queue: the entry of a record, and its key."""

    entry: str
    key: Key[R]


class Queued(NamedTuple, Generic[R]):
    """A record that waits in a queue, and its entry there as the store has it."""

    entry: str
    record: R

    @property
    def cursor(self) -> QueueCursor[R]:
        """The place behind which the next page begins."""
        return QueueCursor(self.entry, self.record.key)


class MetadataStore(Protocol):
    """Records, and atomic batches of writes with preconditions.

    Reads see every commit that returned before they began. All methods may be called from any thread, and raise
    Unavailable where the store fails; a commit that raised Unavailable may or may not have been written. A record's
    `content` has at most MAX_CONTENT_SIZE bytes.
    """

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        """Return the records of `keys`, in one round trip, as of one moment.

        Args:
            keys: of any kinds; each once.
            content: whether `content` is read as well. Without it a record must not be written back by Replace.
        """
        ...

    def scan(self, kind: type[R], repository: str = "", *, after: str = "", limit: int) -> list[R]:
        """The first `limit` records of a kind in a repository, sorted by `kind.order`, behind that of the id `after`.

        Listed records come without `content`.
        """
        ...

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str],
        *,
        repository: str | None = "",
        after: Key[R] | None = None,
        limit: int,
    ) -> list[R]:
        """The first `limit` records of a kind that hold all the values of `where`, behind that of the key `after`.

        `where` names at least one field of `kind.FOUND_BY`. They are sorted by id; with `repository=None`, which looks
        into all repositories by one of kinds.CROSS_REPOSITORY_FIELDS, in an order of the store's own. Found records
        come without `content`.
        """
        ...

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        """Return records of a kind, of all repositories, that wait in a queue since `until` or longer.

        Args:
            kind: one whose records can wait in that queue.
            queue: the first word of `Record.due`.
            until: inclusive; the time of an entry is compared, whatever wait the caller has subtracted.
            after: the cursor of the last record of the page before, which need not be there any more.
            limit: the most records.

        Returns:
            The first `limit` records by their entries, then by an order of the store's own; without `content`.
            An entry can be another one than the record's own `due`, where an older release wrote over the record.
            A call costs what it returns, however many records there are.
        """
        ...

    def commit(self, writes: Sequence[Write]) -> None:
        """Write all of `writes`, or, where one's precondition does not hold, nothing, and raise Conflict.

        Every write gives its record a version that it has never had. A key may occur once.
        """
        ...

    def compact(self, limit: int) -> int:
        """Give space that deleted records left back to the file system.

        Args:
            limit: the most bytes to give back in this call; nobody else can write meanwhile.

        Returns:
            The bytes that are left to be given back; 0 where the store has no file of its own. What is free is used
            for new records as well, so this need not be called.
        """
        ...

    def schema_raised(self) -> datetime | None:
        """Return when the store's layout became that of this release; None where no older release wrote any record.

        A process of the release before may go on writing for OVERLAP after that time. What is new in this release holds
        of records that were written later; of all others it holds once a job has adopted them, and until then the older
        proof is needed. Which invariants these are is written where the driver keeps its schema.
        """
        ...

    def close(self) -> None:
        """Give back what the store holds open."""
        ...
