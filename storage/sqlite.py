"""A metadata store in one SQLite file.

    records   one row a record: where it is, its version, its fields as JSON, and its content
    mentions  one row for each value that MetadataStore.find may ask for

`PRAGMA user_version` is the schema version; opening an older file brings it forward, one migration after the other.
"""

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

from storage.errors import Conflict, StorageError, Unavailable
from storage.protocols import Create, Delete, Found, Replace, Touch, Write
from storage.records import Key, R, Record, record_of, values_of

MIGRATIONS: Final = (
    """
    CREATE TABLE records (
        kind TEXT NOT NULL, repository TEXT NOT NULL, id TEXT NOT NULL,
        version TEXT NOT NULL,
        position TEXT NOT NULL,  -- kind.order(id): a listing is sorted by it
        fields TEXT NOT NULL,    -- JSON
        content BLOB,
        PRIMARY KEY (kind, repository, id)
    );
    CREATE INDEX listing ON records (kind, repository, position);
    CREATE TABLE mentions (
        kind TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL,
        id TEXT NOT NULL, repository TEXT NOT NULL,
        PRIMARY KEY (kind, field, value, id, repository)
    ) WITHOUT ROWID;
    CREATE INDEX mentioned_by ON mentions (kind, repository, id);
    """,
    # Links say whether a manifest may name them: of the older ones nobody knows. Blobs are found by their objects.
    """
    UPDATE records SET fields = json_set(fields, '$.state', 'loose', '$.since', json_extract(fields, '$.created'))
        WHERE kind = 'links';
    INSERT INTO mentions (kind, field, value, id, repository)
        SELECT kind, 'state', 'loose', id, repository FROM records WHERE kind = 'links';
    INSERT INTO mentions (kind, field, value, id, repository)
        SELECT kind, 'object', json_extract(fields, '$.object'), id, repository FROM records WHERE kind = 'blobs';
    """,
)
"""Each brings the schema from the version that is its index to the next."""

PATIENCE: Final = 30.0
"""Seconds that a write waits for another process's."""

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
            self._writer = self._connect()
            _migrate(self._writer, migrations)

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
        with _faults(), self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                for write in writes:
                    _write_one(self._writer, write)
                self._writer.execute("COMMIT")
            except BaseException:
                # Where COMMIT itself failed, as on a full disk, SQLite may have rolled back already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

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
                connection = self._connect()
        try:
            yield connection
        except sqlite3.Error as error:
            connection.close()
            raise _fault(error) from error
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)

    def _connect(self) -> sqlite3.Connection:
        # Autocommit: transactions are begun and ended in so many words. One thread at a time uses a connection.
        connection = sqlite3.connect(self._path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: a commit is on the disk before it is acknowledged, whatever happens to the machine.
        connection.execute("PRAGMA synchronous = FULL")
        # KiB. The system keeps the file's pages in memory for all; with 2 MB each, 64 readers had 144 MiB of them.
        connection.execute("PRAGMA cache_size = -512")
        return connection


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema to `len(migrations)`; each step is all or nothing, and two processes may try at once."""
    while True:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StorageError(f"the metadata has schema version {version}, of a newer release of Lading")
        if version == len(migrations):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have gone ahead between the look and the lock.
            if connection.execute("PRAGMA user_version").fetchone() == (version,):
                for statement in _statements(migrations[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> Iterator[str]:
    """The statements of `script`: executescript would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


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
    except sqlite3.Error as error:
        raise _fault(error) from error


def _fault(error: sqlite3.Error) -> Unavailable:
    return Unavailable(f"SQLite: {error}")
