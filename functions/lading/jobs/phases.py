"""The phases of a job: which records it processes, in pages, and how it processes one of them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from lading.registry.retry import try_to_commit
from lading_storage.protocols import MetadataStore, QueueCursor, Queued, Replace
from lading_storage.query import Query
from lading_storage.records.core import Key, R, Record

PAGE_SIZE: Final = 100
"""Records in memory at a time."""

END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
"""The time up to which a queue without a wait is read: a clock that was ahead may have written a time in the future."""


def _nothing() -> None:
    """Do nothing."""


class Phase(NamedTuple):
    """One kind of record to process.

    Attributes:
        name: stored as a part of the cursor.
        page: returns the records after a cursor, or the first ones for None; nothing at the end.
        handle: processes one record and returns what it did, in words to be counted; None if it ran out of time and
            has more to do with the same record.
        flush: writes what `handle` has buffered; called after each page, and before a slice ends.
    """

    name: str
    page: Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]
    handle: Callable[[Any], str | None]
    flush: Callable[[], None] = _nothing


def queue_pages(
    metadata: MetadataStore, kind: type[R], name: str, until: Callable[[], datetime]
) -> Callable[[QueueCursor[Any] | None], Sequence[Queued[R]]]:
    """Return a page function for the records of a kind that have been in a queue since `until` or longer."""

    def page(after: QueueCursor[Any] | None) -> Sequence[Queued[R]]:
        cursor = None if after is None or not after.key.id else after._replace(key=after.key._replace(kind=kind))
        return metadata.due(kind, name, until(), after=cursor, limit=PAGE_SIZE)

    return page


def as_queue_pages(
    page: Callable[[Key[Any] | None], Sequence[Record]],
) -> Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]:
    """Adapt a page function for records that are in no queue to what a phase takes."""
    return lambda after: [Queued("", record) for record in page(after.key if after and after.key.id else None)]


def scan_pages(
    metadata: MetadataStore, kind: type[Record]
) -> Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]:
    """Return a page function for all records of a kind that is not in a repository."""
    return as_queue_pages(lambda after: metadata.find(Query(kind, after=after.id if after else "", limit=PAGE_SIZE)))


def rewrite_if_unchanged(metadata: MetadataStore, listed: Record, **changes: Any) -> bool:
    """Rewrite a listed record with some fields changed, unless it has another version by now.

    Args:
        metadata: the store.
        listed: the record as a listing returns it, without its content.
        changes: the new values of fields.

    Returns:
        Whether it was written.
    """
    record = metadata.read([listed.key])[listed.key]
    if record is None or record.version != listed.version:
        return False
    return try_to_commit(metadata, Replace(replace(record, **changes)))
