"""Writes of MetadataStore.commit, as statements on the tables in SQLite (sqlite_schema)."""

import json
import secrets
import sqlite3
from collections.abc import Iterable
from typing import Final, NamedTuple

from lading_storage.errors import Conflict
from lading_storage.local.sqlite_queries import REPOSITORY_NUMBER
from lading_storage.local.sqlite_schema import (
    GLOBAL_SCOPE,
    Lookup,
    encoded,
    id_of,
    lookups_of,
    packed,
    position_of,
)
from lading_storage.protocols import Create, Delete, Replace, Touch, Verify, Write
from lading_storage.records.core import Record
from lading_storage.records.fields import values_of

RECORD_KEY: Final = f"kind = ? AND repository = {REPOSITORY_NUMBER} AND position = ?"

TOUCH: Final = f"UPDATE entries SET version = ? WHERE {RECORD_KEY}"
TOUCH_AT: Final = f"{TOUCH} AND version = ?"
VERIFY: Final = f"SELECT 1 FROM entries WHERE {RECORD_KEY} AND version = ?"
FIND_STORED: Final = f"SELECT number, repository, fields FROM entries WHERE {RECORD_KEY} AND version = ?"
INSERT: Final = (
    "INSERT INTO entries (kind, repository, position, id, version, due, fields, content)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
REPLACE: Final = "UPDATE entries SET version = ?, due = ?, fields = ?, content = ? WHERE number = ?"
DELETE: Final = "DELETE FROM entries WHERE number = ?"
INSERT_LOOKUP: Final = (
    "INSERT INTO lookups (kind, scope, field, value, id, repository, entry) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
DELETE_LOOKUP: Final = "DELETE FROM lookups WHERE (kind, scope, field, value, id, repository) = (?, ?, ?, ?, ?, ?)"


class _Entry(NamedTuple):
    """Existing row of the table entries: its number, the number of its repository, and its lookups."""

    number: int
    repository: int
    lookups: set[Lookup]


def write_one(connection: sqlite3.Connection, write: Write) -> None:
    """Execute one write in the open transaction. Raises Conflict."""
    match write:
        case Create(record):
            _insert(connection, record)
        case Replace(record):
            _replace(connection, record)
        case Delete(record):
            stored = _read_entry(connection, record)
            connection.execute(DELETE, (stored.number,))
            connection.executemany(DELETE_LOOKUP, [row[:-1] for row in _rows(record, stored, stored.lookups)])
        case Touch(key, version):
            place = (key.kind.NUMBER, key.repository, position_of(key.kind, key.id))
            statement, at = (TOUCH_AT, (version,)) if version else (TOUCH, ())
            if not connection.execute(statement, (_new_version(), *place, *at)).rowcount:
                raise Conflict(f"{key} does not exist or has changed")
        case Verify(key, version):
            place = (key.kind.NUMBER, key.repository, position_of(key.kind, key.id))
            if connection.execute(VERIFY, (*place, version)).fetchone() is None:
                raise Conflict(f"{key} does not exist or has changed")


def _insert(connection: sqlite3.Connection, record: Record) -> None:
    values, kind = values_of(record), type(record)
    content = values.pop("content", None)
    repository = _repository(connection, record.repository)
    place = (record.NUMBER, repository, position_of(kind, record.id), id_of(kind, record.id))
    try:
        added = connection.execute(
            INSERT, (*place, _new_version(), record.due or None, encoded(values), content)
        ).lastrowid
    except sqlite3.IntegrityError as error:
        raise Conflict(f"{record.key} already exists") from error
    stored = _Entry(added or 0, repository, lookups_of(kind, record.id, values))
    connection.executemany(INSERT_LOOKUP, _rows(record, stored, stored.lookups))


def _replace(connection: sqlite3.Connection, record: Record) -> None:
    stored, values = _read_entry(connection, record), values_of(record)
    content = values.pop("content", None)
    connection.execute(REPLACE, (_new_version(), record.due or None, encoded(values), content, stored.number))
    lookups = lookups_of(type(record), record.id, values)
    connection.executemany(DELETE_LOOKUP, [row[:-1] for row in _rows(record, stored, stored.lookups - lookups)])
    connection.executemany(INSERT_LOOKUP, _rows(record, stored, lookups - stored.lookups))


def _read_entry(connection: sqlite3.Connection, record: Record) -> _Entry:
    """Return the row of a record. Raises Conflict if the record has changed or does not exist."""
    place = (record.NUMBER, record.repository, position_of(type(record), record.id))
    row = connection.execute(FIND_STORED, (*place, record.version)).fetchone()
    if row is None:
        raise Conflict(f"{record.key} has changed or does not exist")
    number, repository, fields = row
    lookups = lookups_of(type(record), record.id, json.loads(fields)) if record.INDEXED_FIELDS else set()
    return _Entry(number, repository, lookups)


def _repository(connection: sqlite3.Connection, name: str) -> int:
    """Return the number of a repository, which is assigned with its first record."""
    row = connection.execute("SELECT number FROM repositories WHERE name = ?", (name,)).fetchone()
    if row is None:
        return connection.execute("INSERT INTO repositories (name) VALUES (?)", (name,)).lastrowid or 0
    number: int = row[0]
    return number


def _rows(record: Record, stored: _Entry, lookups: Iterable[Lookup]) -> list[tuple[str | bytes | int, ...]]:
    """Return the rows of `lookups` of an entry, for the table lookups."""
    kind, id = record.NUMBER, packed(record.id)
    return [
        (kind, GLOBAL_SCOPE if is_global else stored.repository, field, value, id, stored.repository, stored.number)
        for is_global, field, value in lookups
    ]


def _new_version() -> str:
    # Random, so that a record that was deleted and created again never has an earlier version.
    return secrets.token_hex(8)
