"""Reading and writing records one by one and in batches, as copies between stores need it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from lading.registry.pagination import scan_all
from lading_storage.protocols import MetadataStore, Write
from lading_storage.records.core import Key, R, Record, Repository
from lading_storage.records.kinds import KINDS

T = TypeVar("T")

BATCH_SIZE: Final = 300
"""Writes of one transaction. A commit of Firestore takes 500, and index entries count."""

MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
"""Bytes of contents that are in memory together, unless one record has more."""

BACKED_UP_KINDS: Final = tuple(kind for kind in KINDS if not kind.NOT_IN_BACKUP)


def get(metadata: MetadataStore, key: Key[R]) -> R | None:
    """Return one record, whole."""
    return metadata.read([key])[key]


def all_exist(metadata: MetadataStore, keys: Sequence[Key[Any]]) -> bool:
    """Return whether all of some records are there."""
    found = metadata.read(keys, content=False)
    return all(found[key] is not None for key in keys)


def repositories(metadata: MetadataStore) -> Iterator[str]:
    """Yield the names of all repositories, deleted ones included."""
    return (repository.id for repository in scan_all(metadata, Repository))


def with_content(metadata: MetadataStore, listed: Iterable[R]) -> Iterator[R]:
    """Yield listed records with their contents, a bounded number of bytes in memory; without those that are gone."""
    for batch in batches_by_size(listed):
        found = metadata.read([each.key for each in batch])
        yield from (record for each in batch if (record := found[each.key]) is not None)


def batches_by_size(records: Iterable[R]) -> Iterator[list[R]]:
    """Cut records into batches by their number and the bytes of their contents."""
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
    """Cut anything into lists of at most `size`."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch


class WriteBatch:
    """Writes that are committed many at a time, into a store that nobody else writes."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Write into `metadata`."""
        self._metadata = metadata
        self._writes: list[Write] = []
        self._size = 0

    def add(self, write: Write) -> None:
        """Write, now or with others that follow."""
        self._writes.append(write)
        record: Record | None = getattr(write, "record", None)
        self._size += len(getattr(record, "content", None) or b"")
        if len(self._writes) >= BATCH_SIZE or self._size >= MAX_BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write all that waits."""
        if self._writes:
            self._metadata.commit(self._writes)
        self._writes, self._size = [], 0
