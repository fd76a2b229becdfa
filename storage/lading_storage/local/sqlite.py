"""Metadata store in an SQLite file: reads and writes of records. The module sqlite_file manages the file itself."""

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from lading_storage.errors import StoreNotFound
from lading_storage.local import sqlite_file
from lading_storage.local.durable_folders import make_store
from lading_storage.local.sqlite_errors import storage_error_of, translated_errors
from lading_storage.local.sqlite_file import bound_wal, connect, transaction
from lading_storage.local.sqlite_migration import open_migrated
from lading_storage.local.sqlite_owner import is_metadata_store
from lading_storage.local.sqlite_queries import COUNT, DUE, READ, READ_WITHOUT_CONTENT, find_query
from lading_storage.local.sqlite_queue import WriterQueue
from lading_storage.local.sqlite_schema import VERSION, decoded, position_of, unpacked
from lading_storage.local.sqlite_writes import write_one
from lading_storage.protocols import Found, QueueCursor, Queued, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, R, Record, due_entry
from lading_storage.records.fields import record_of

MAX_CACHED_SIZE: Final = 4_096
MAX_CACHED_RECORDS: Final = 2_048
"""Maximum bytes of a cached record, and maximum number of cached records."""

CHECKPOINT_INTERVAL: Final = 10.0
"""Seconds between two attempts to truncate the write-ahead log while readers use it."""


class SqliteMetadata:
    """MetadataStore in one file: many concurrent readers and one writer at a time, in any number of processes."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open the file.

        Args:
            path: the file.
            create: whether to create the file if it does not exist.

        Raises:
            StoreNotFound: the file does not exist, and `create` is false.
            ForeignStore: the file belongs to another program.
            StorageError: a newer release wrote the file.
        """
        self._path = path
        with translated_errors(self._path):
            exists = is_metadata_store(path)
        if not create and not exists:
            raise StoreNotFound(f"no metadata at {path}")
        with translated_errors(self._path):
            make_store(path.parent)
        self._idle: list[sqlite3.Connection] = []
        self._cache: dict[Key[Any], Record] = {}
        self._wal_bounded_at = 0.0
        with translated_errors(self._path):
            self._writer = open_migrated(path)
            self._queue = WriterQueue(path, sqlite_file.BUSY_TIMEOUT)

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        """See MetadataStore.read. One transaction, so that the records are a snapshot."""
        with self._reader() as connection:
            if len(keys) > 1:
                connection.execute("BEGIN")
            found = {key: self._read_one(connection, key, content) for key in keys}
            if len(keys) > 1:
                connection.execute("COMMIT")
        return Found(found)

    def find(self, query: Query[R]) -> list[R]:
        """See MetadataStore.find."""
        rows = self._select(*find_query(query))
        return [_record(query.kind, unpacked(id), *row) for id, *row in rows]

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        """See MetadataStore.due."""
        begin: tuple[str, str, str | bytes] = (f"{queue} ", "", "")
        if after:
            begin = (after.entry, after.key.repository, position_of(kind, after.key.id))
        rows = self._select(DUE, (kind.NUMBER, *begin, due_entry(queue, until), limit))
        return [Queued(entry, _record(kind, unpacked(id), *row)) for entry, id, *row in rows]

    def count(self, kind: type[Record]) -> int:
        """Return the number of records of a kind, in all repositories."""
        ((number,),) = self._select(COUNT, (kind.NUMBER,))
        return int(number)

    def commit(self, writes: Sequence[Write]) -> None:
        """See MetadataStore.commit. The transaction is durable when this method returns."""
        with translated_errors(self._path), self._queue.acquire():
            with transaction(self._writer, VERSION):
                for write in writes:
                    write_one(self._writer, write)
            self._bound_wal()

    def compact(self, limit: int) -> int:
        """See MetadataStore.compact. Moves pages from the end of the file into free ones."""
        with translated_errors(self._path), self._queue.acquire(), transaction(self._writer, VERSION):
            pages = min(self._pragma("freelist_count"), max(1, limit // self._pragma("page_size")))
            for _ in range(pages):
                # Python's module steps a statement without columns once, which frees one page, whatever the argument.
                self._writer.execute("PRAGMA incremental_vacuum(1)")
            left = self._pragma("freelist_count")
        if not left:
            with translated_errors(self._path), self._queue.acquire():
                bound_wal(self._writer, self._path, 0)
        return left * self._pragma("page_size")

    def schema_raised(self) -> datetime | None:
        """Return None: opening the file migrates all records, in one transaction. See MetadataStore.schema_raised."""
        return None

    def close(self) -> None:
        """Close all connections that no thread is using."""
        with self._queue.acquire():
            self._writer.close()
        self._queue.close()
        while self._idle:
            self._idle.pop().close()

    def _reader(self) -> contextlib.AbstractContextManager[sqlite3.Connection]:
        """Return a context manager of a connection for reading, which raises the protocol's errors."""
        return _Reader(self._idle, self._path)

    def _select(self, query: str, values: Sequence[str | bytes | int]) -> list[Any]:
        with self._reader() as connection:
            return connection.execute(query, values).fetchall()

    def _pragma(self, name: str) -> int:
        value: int = self._writer.execute(f"PRAGMA {name}").fetchone()[0]
        return value

    def _bound_wal(self) -> None:
        """Truncate a long write-ahead log, but after a failure wait CHECKPOINT_INTERVAL before the next attempt."""
        if time.monotonic() > self._wal_bounded_at + CHECKPOINT_INTERVAL and not bound_wal(self._writer, self._path):
            self._wal_bounded_at = time.monotonic()

    def _read_one(self, connection: sqlite3.Connection, key: Key[Any], content_wanted: bool) -> Record | None:
        """Return the record, from the cache if its version is current: building one costs as much as the query."""
        row = connection.execute(
            READ if content_wanted else READ_WITHOUT_CONTENT,
            (key.kind.NUMBER, key.repository, position_of(key.kind, key.id)),
        ).fetchone()
        if row is None:
            return None
        version, fields, content = row
        cached = self._cache.get(key)
        if content_wanted and cached is not None and cached.version == version:
            return cached
        values = decoded(key.kind, fields)
        record: Record = record_of(key, values if content is None else {**values, "content": content}, version)
        if content_wanted and len(fields) + len(content or b"") <= MAX_CACHED_SIZE:
            self._cache_record(key, record)
        return record

    def _cache_record(self, key: Key[Any], record: Record) -> None:
        if len(self._cache) >= MAX_CACHED_RECORDS:
            self._cache.clear()
        self._cache[key] = record


class _Reader:
    """Context manager of an idle or new connection, used by one block only. Raises the protocol's errors."""

    __slots__ = ("_connection", "_idle", "_path")

    def __init__(self, idle: list[sqlite3.Connection], path: Path) -> None:
        self._idle = idle
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = self._idle.pop()
        except IndexError:
            with translated_errors(self._path):
                self._connection = connect(self._path)
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._idle.append(self._connection)
            return
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise storage_error_of(error, self._path) from error


def _record(kind: type[R], id: str, repository: str, version: str, fields: str) -> R:
    """Return the record of a listed row, without `content`."""
    return record_of(Key(kind, id, repository), decoded(kind, fields), version)
