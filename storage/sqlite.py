"""A metadata store in one SQLite file: how records are read and written. What the file is like, sqlite_file says."""

import contextlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from storage.errors import Conflict, Unavailable
from storage.protocols import Create, Delete, Found, Replace, Touch, Write
from storage.records import Key, R, Record, record_of, values_of
from storage.sqlite_file import MIGRATIONS, connected, opened, transaction

TIMES: Final = frozenset(
    {"created", "deleted", "expires", "former_until", "moved", "pulled", "reported", "since", "touched", "until"}
)
"""The fields that are times: ISO 8601 in JSON."""

SMALL: Final = 1_000
MOST_REMEMBERED: Final = 4_096
"""Characters of fields that are remembered, and how many of them."""


class SqliteMetadata:
    """MetadataStore in one file: any number of readers beside one writer at a time, in any number of processes."""

    def __init__(self, path: Path, migrations: Sequence[str] = MIGRATIONS) -> None:
        """Open the file at `path`, or make it. Raises StorageError where a newer release wrote it."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._idle: list[sqlite3.Connection] = []
        self._writing = threading.Lock()
        with _faults():
            self._writer = opened(path, migrations)

    def read(self, keys: Sequence[Key[Any]]) -> Found:
        """See MetadataStore.read: one transaction, so all are of one moment."""
        with self._reader() as connection:
            if len(keys) > 1:
                connection.execute("BEGIN")
            found = [_read_one(connection, key) for key in keys]
            if len(keys) > 1:
                connection.execute("COMMIT")
        return Found(record for record in found if record is not None)

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
        with self._reader() as connection:
            rows = connection.execute(query, values).fetchall()
        return [
            record_of(Key(kind, id, repository), _decode(fields), version) for id, repository, version, fields in rows
        ]

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        """A connection for this block alone, from those that are idle or new. Raises as the protocol says."""
        try:
            connection = self._idle.pop()
        except IndexError:
            with _faults():
                connection = connected(self._path)
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise _fault(error) from error
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)


def _read_one(connection: sqlite3.Connection, key: Key[R]) -> R | None:
    row = connection.execute(
        "SELECT version, fields, content FROM records WHERE kind = ? AND repository = ? AND id = ?",
        (key.kind.KIND, key.repository, key.id),
    ).fetchone()
    if row is None:
        return None
    version, fields, content = row
    values = _decode(fields)
    return record_of(key, values if content is None else {**values, "content": content}, version)


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
            "INSERT INTO records (kind, repository, id, version, position, fields, content)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (kind, *place, _new_version(), record.order(record.id), _encode(values), content),
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


def _new_version() -> str:
    # Random, so that a record deleted and made again never has a version that it had before.
    return secrets.token_hex(8)


def _encode(values: dict[str, Any]) -> str:
    return json.dumps(values, default=datetime.isoformat, separators=(",", ":"))


def _decode(text: str) -> Mapping[str, Any]:
    """The fields. What is small is remembered, as tags and links are: to read them again costs as much as SQLite."""
    return _decode_small(text) if len(text) <= SMALL else _parse(text)


def _parse(text: str) -> Mapping[str, Any]:
    values: dict[str, Any] = json.loads(text)
    for name in TIMES & values.keys():
        values[name] = values[name] and datetime.fromisoformat(values[name])
    return values


_decode_small: Final = lru_cache(MOST_REMEMBERED)(_parse)


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Turn SQLite's errors into the protocol's: locked too long, disk full, input or output that failed."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _fault(error) from error


def _fault(error: Exception) -> Unavailable:
    return Unavailable(f"SQLite: {error}")
