"""A metadata store in one SQLite file: how records are read and written. What the file is like, sqlite_file says."""

import contextlib
import errno
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from storage.errors import Conflict, Full, StoreNotFound, Unavailable
from storage.folders import make_durably
from storage.protocols import Create, Delete, Found, QueueCursor, Queued, Replace, Touch, Write
from storage.records import Key, R, Record, queued, record_of, values_of
from storage.sqlite_file import MIGRATIONS, connected, is_database, opened, transaction

TIMES: Final = frozenset(
    {"created", "deleted", "expires", "former_until", "kept", "moved", "pulled", "reported", "review"}
    | {"since", "stamp", "touched", "until"}
)
"""The fields that are times: ISO 8601 in JSON."""

READ: Final = "SELECT version, fields, content FROM records WHERE kind = ? AND repository = ? AND id = ?"
READ_WITHOUT_CONTENT: Final = READ.replace("content", "NULL")

SMALL: Final = 4_096
MOST_REMEMBERED: Final = 2_048
"""Bytes of a record that is remembered, and how many of them are."""


class SqliteMetadata:
    """MetadataStore in one file: any number of readers beside one writer at a time, in any number of processes."""

    def __init__(self, path: Path, migrations: Sequence[str] = MIGRATIONS, create: bool = True) -> None:
        """Open the file at `path`, or make it, unless `create` is false.

        Raises StoreNotFound where nothing is to be made, and StorageError where a newer release wrote the file.
        """
        self._path = path
        if not create and not is_database(path):
            raise StoreNotFound(f"no metadata at {path}")
        make_durably(path.parent)
        self._idle: list[sqlite3.Connection] = []
        self._remembered: dict[Key[Any], Record] = {}
        self._writing = threading.Lock()
        with _faults():
            self._writer = opened(path, migrations)

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        """See MetadataStore.read: one transaction, so all are of one moment."""
        with _Reader(self._idle, self._path) as connection:
            if len(keys) > 1:
                connection.execute("BEGIN")
            found = {key: self._read_one(connection, key, content) for key in keys}
            if len(keys) > 1:
                connection.execute("COMMIT")
        return Found(found)

    def scan(self, kind: type[R], repository: str = "", *, after: str = "", limit: int) -> list[R]:
        """See MetadataStore.scan."""
        query = (
            "SELECT id, repository, version, fields FROM records"
            " WHERE kind = ? AND repository = ? AND position > ? ORDER BY position LIMIT ?"
        )
        position = kind.order(after) if after else ""
        return self._select(kind, query, (kind.KIND, repository, position, limit))

    def find(
        self,
        kind: type[R],
        where: Mapping[str, str],
        *,
        repository: str | None = "",
        after: Key[R] | None = None,
        limit: int,
    ) -> list[R]:
        """See MetadataStore.find."""
        (field, value), *others = where.items()
        conditions, values = ["m.kind = ? AND m.field = ? AND m.value = ?"], [kind.KIND, field, value]
        if after is not None:
            conditions.append("(m.id, m.repository) > (?, ?)")
            values += [after.id, after.repository]
        if repository is not None:
            conditions.append("m.repository = ?")
            values.append(repository)
        for other in others:
            conditions.append(
                "EXISTS (SELECT 1 FROM mentions WHERE (kind, id, repository) = (m.kind, m.id, m.repository)"
                " AND field = ? AND value = ?)"
            )
            values.extend(other)
        # CROSS JOIN keeps this order: few rows mention a value, however many records there are.
        query = (  # made of texts of our own
            "SELECT r.id, r.repository, r.version, r.fields FROM mentions m"
            " CROSS JOIN records r ON (r.kind, r.repository, r.id) = (m.kind, m.repository, m.id)"
            f" WHERE {' AND '.join(conditions)} ORDER BY m.id, m.repository LIMIT ?"
        )
        return self._select(kind, query, (*values, limit))

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        """See MetadataStore.due."""
        query = (
            "SELECT due, id, repository, version, fields FROM records"
            " WHERE kind = ? AND (due, repository, id) > (?, ?, ?) AND due <= ? ORDER BY due, repository, id LIMIT ?"
        )
        begin = (after.entry, after.key.repository, after.key.id) if after else (f"{queue} ", "", "")
        with _Reader(self._idle, self._path) as connection:
            rows = connection.execute(query, (kind.KIND, *begin, queued(queue, until), limit)).fetchall()
        return [Queued(entry, _record(kind, *row)) for entry, *row in rows]

    def commit(self, writes: Sequence[Write]) -> None:
        """See MetadataStore.commit. The transaction is on the disk when this returns."""
        with _faults(), self._writing, transaction(self._writer):
            for write in writes:
                _write_one(self._writer, write)

    def close(self) -> None:
        """Close every connection that no thread is using."""
        with self._writing:
            self._writer.close()
        while self._idle:
            self._idle.pop().close()

    def _select(self, kind: type[R], query: str, values: Sequence[str | int]) -> list[R]:
        with _Reader(self._idle, self._path) as connection:
            rows = connection.execute(query, values).fetchall()
        return [_record(kind, *row) for row in rows]

    def _read_one(self, connection: sqlite3.Connection, key: Key[Any], whole: bool) -> Record | None:
        """The record: the one remembered, where it is still of this version, as to make one takes as long as SQLite."""
        row = connection.execute(
            READ if whole else READ_WITHOUT_CONTENT, (key.kind.KIND, key.repository, key.id)
        ).fetchone()
        if row is None:
            return None
        version, fields, content = row
        remembered = self._remembered.get(key)
        if whole and remembered is not None and remembered.version == version:
            return remembered
        values = _decoded(fields)
        record: Record = record_of(key, values if content is None else {**values, "content": content}, version)
        if whole and len(fields) + len(content or b"") <= SMALL:
            self._remember(key, record)
        return record

    def _remember(self, key: Key[Any], record: Record) -> None:
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[key] = record


class _Reader:
    """A connection for one block alone, from those that are idle or new. Raises as the protocol says."""

    __slots__ = ("_connection", "_idle", "_path")

    def __init__(self, idle: list[sqlite3.Connection], path: Path) -> None:
        self._idle = idle
        self._path = path

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = self._idle.pop()
        except IndexError:
            with _faults():
                self._connection = connected(self._path)
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._idle.append(self._connection)
            return
        self._connection.close()
        if isinstance(error, sqlite3.Error):
            raise _fault(error) from error


def _write_one(connection: sqlite3.Connection, write: Write) -> None:
    """Do one write inside the transaction that is open. Raises Conflict."""
    match write:
        case Create(record):
            _insert(connection, record)
        case Replace(record):
            _delete(connection, record)
            _insert(connection, record)
        case Delete(record):
            _delete(connection, record)
        case Touch(key):
            changed = connection.execute(
                "UPDATE records SET version = ? WHERE kind = ? AND repository = ? AND id = ?",
                (_new_version(), key.kind.KIND, key.repository, key.id),
            ).rowcount
            if not changed:
                raise Conflict(f"{key} is not there to be touched")


def _insert(connection: sqlite3.Connection, record: Record) -> None:
    values = values_of(record)
    content = values.pop("content", None)
    kind, place = record.KIND, (record.repository, record.id)
    try:
        connection.execute(
            "INSERT INTO records (kind, repository, id, version, position, fields, content, due)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (kind, *place, _new_version(), record.order(record.id), _encode(values), content, record.due or None),
        )
    except sqlite3.IntegrityError as error:
        raise Conflict(f"{record.key} is there already") from error
    for field in record.FOUND_BY:
        value = getattr(record, field)
        mentioned = value if isinstance(value, tuple) else (value,)
        connection.executemany(
            "INSERT OR IGNORE INTO mentions (kind, repository, id, field, value) VALUES (?, ?, ?, ?, ?)",
            [(kind, *place, field, value) for value in mentioned if value],
        )


def _delete(connection: sqlite3.Connection, record: Record) -> None:
    place = (record.KIND, record.repository, record.id)
    deleted = connection.execute(
        "DELETE FROM records WHERE kind = ? AND repository = ? AND id = ? AND version = ?", (*place, record.version)
    ).rowcount
    if not deleted:
        raise Conflict(f"{record.key} has changed or gone")
    connection.execute("DELETE FROM mentions WHERE kind = ? AND repository = ? AND id = ?", place)


def _record(kind: type[R], id: str, repository: str, version: str, fields: str) -> R:
    """Return the record of a listed row, which comes without `content`."""
    return record_of(Key(kind, id, repository), _decoded(fields), version)


def _new_version() -> str:
    # Random, so that a record deleted and made again never has a version that it had before.
    return secrets.token_hex(8)


def _encode(values: dict[str, Any]) -> str:
    return json.dumps(values, default=datetime.isoformat, separators=(",", ":"))


def _decoded(text: str) -> Mapping[str, Any]:
    values: dict[str, Any] = json.loads(text)
    for name in TIMES & values.keys():
        values[name] = values[name] and datetime.fromisoformat(values[name])
    return values


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turn SQLite's errors into the protocol's: locked too long, disk full, input or output that failed."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _fault(error) from error


def _fault(error: Exception) -> Unavailable:
    no_space = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if no_space or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return Full("metadata")
    return Unavailable(f"SQLite: {error}")
