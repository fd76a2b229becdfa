"""Reads and writes of records, singly and in batches, for copies between stores."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from lading.registry.pagination import scan_all
from lading_storage.protocols import MetadataStore, Write
from lading_storage.records.core import Key, R, Record, Repository
from lading_storage.records.kinds import KINDS

T = TypeVar("T")

BATCH_SIZE: Final = 300
"""Writes in one transaction. A Firestore commit takes 500, and index entries count."""

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of content in memory at a time, unless a single record has more."""

BACKED_UP_KINDS: Final = tuple(kind for kind in KINDS if not kind.NOT_IN_BACKUP)


def get(metadata: MetadataStore, key: Key[R]) -> R | None:
    """Return one record with its content, or None."""
    return metadata.read([key])[key]


def all_exist(metadata: MetadataStore, keys: Sequence[Key[Any]]) -> bool:
    """Return whether all of the records exist."""
    found = metadata.read(keys, content=False)
    return all(found[key] is not None for key in keys)


def repositories(metadata: MetadataStore) -> Iterator[str]:
    """Yield the names of all repositories, deleted ones included."""
    return (repository.id for repository in scan_all(metadata, Repository))


def with_content(metadata: MetadataStore, listed: Iterable[R]) -> Iterator[R]:
    """Yield listed records with their content, in bounded memory; skip those that were deleted since."""
    for batch in batches_by_size(listed):
        found = metadata.read([each.key for each in batch])
        yield from (record for each in batch if (record := found[each.key]) is not None)


def batches_by_size(records: Iterable[R]) -> Iterator[list[R]]:
    """Split records into batches by their number and the bytes of their content."""
    batch: list[R] = []
    size = 0
    for record in records:
        size += getattr(record, "size", 0) if hasattr(record, "content") else 0
        batch.append(record)
        if len(batch) >= BATCH_SIZE // 3 or size >= MAX_BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def batches(items: Iterable[T], size: int = BATCH_SIZE) -> Iterator[list[T]]:
    """Split items into lists of at most `size`."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


class WriteBatch:
    """Buffer of writes that are committed in batches, to a store without other writers."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Write to `metadata`."""
        self._metadata = metadata
        self._writes: list[Write] = []
        self._size = 0

    def add(self, write: Write) -> None:
        """Add a write; commit the batch if it is full."""
        self._writes.append(write)
        record: Record | None = getattr(write, "record", None)
        self._size += len(getattr(record, "content", None) or b"")
        if len(self._writes) >= BATCH_SIZE or self._size >= MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Commit all buffered writes."""
        if self._writes:
            self._metadata.commit(self._writes)
        self._writes, self._size = [], 0
