"""Schema of the metadata store in SQLite, and the conversion of records to rows.

    repositories  a number for each name: rows of the other tables contain the number, not the name
    entries       one row per record: its key, its version, its fields as JSON, and its content
    lookups       one row for each value of an entry that MetadataStore.find can search

Each query within one repository reads one range of one index, in the order of the result, so its cost does not depend
on the content of other repositories. Repository numbers are assigned once and never reused.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from lading_storage.digests import is_digest
from lading_storage.records.core import Record
from lading_storage.records.fields import layout_of

VERSION: Final = 4
"""The schema version that this release reads and writes (`PRAGMA user_version`)."""

TABLES: Final = """
CREATE TABLE repositories (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO repositories VALUES (0, '');
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,        -- Record.NUMBER
    repository INTEGER NOT NULL,  -- repositories.number
    position NOT NULL,            -- position_of: unique sort key of listings
    id TEXT,                      -- NULL if the position is the id
    version TEXT NOT NULL,
    due TEXT,                     -- Record.due; NULL if the record is in no queue
    fields TEXT NOT NULL,         -- JSON
    content BLOB
);
CREATE TABLE lookups (
    kind INTEGER NOT NULL,
    scope INTEGER NOT NULL,       -- repositories.number, or GLOBAL_SCOPE
    field TEXT NOT NULL,
    value NOT NULL,               -- packed
    id NOT NULL,                  -- packed
    repository INTEGER NOT NULL,  -- repositories.number
    entry INTEGER NOT NULL,       -- entries.number
    PRIMARY KEY (kind, scope, field, value, id, repository)
) WITHOUT ROWID;
"""

INDEXES: Final = """
CREATE UNIQUE INDEX listing ON entries (kind, repository, position);
CREATE INDEX queues ON entries (kind, due, repository, position) WHERE due IS NOT NULL;
"""

GLOBAL_SCOPE: Final = -1
"""Scope of the lookups for searches across all repositories (Record.CROSS_REPOSITORY_FIELDS)."""

ALGORITHM_BYTES: Final = {"sha256": b"\1", "sha512": b"\2"}
"""Prefix byte of a packed digest, chosen so that packed digests sort like digests."""
ALGORITHM_NAMES: Final = {byte[0]: name for name, byte in ALGORITHM_BYTES.items()}


def packed(text: str) -> str | bytes:
    """Return the stored form of a string: 33 or 65 bytes for a digest, else the string itself."""
    if text.startswith("sha") and is_digest(text):
        algorithm, _, digits = text.partition(":")
        return ALGORITHM_BYTES[algorithm] + bytes.fromhex(digits)
    return text


def unpacked(stored: str | bytes) -> str:
    """Return the string whose stored form is `stored`. Inverse of `packed`."""
    return stored if isinstance(stored, str) else f"{ALGORITHM_NAMES[stored[0]]}:{stored[1:].hex()}"


_ENCODER: Final = json.JSONEncoder(default=datetime.isoformat, separators=(",", ":"))
"""Created once: json.dumps creates an encoder for each call with non-default arguments."""


def encoded(values: Mapping[str, Any]) -> str:
    """Return a record's fields as JSON."""
    return _ENCODER.encode(values)


def decoded(kind: type[Record], text: str) -> Mapping[str, Any]:
    """Return the fields of a record of a kind from JSON. Inverse of `encoded`."""
    values: dict[str, Any] = json.loads(text)
    for name in layout_of(kind).times:
        if text_of_time := values.get(name):
            values[name] = datetime.fromisoformat(text_of_time)
    return values


def position_of(kind: type[Record], id: str) -> str | bytes:
    """Return the key of a record within its kind and repository, which sorts like `kind.order`."""
    return kind.order(id) if _is_ordered(kind) else packed(id)


def id_of(kind: type[Record], id: str) -> str | None:
    """Return the value of the column `id`: None if the position is the id."""
    return id if _is_ordered(kind) else None


def _is_ordered(kind: type[Record]) -> bool:
    """Return whether listings of a kind have a sort order other than the id."""
    return kind.order.__func__ is not Record.order.__func__  # type: ignore[attr-defined]


class Lookup(NamedTuple):
    """Value by which a record is found, within its repository or across all repositories."""

    is_global: bool
    field: str
    value: str | bytes


def lookups_of(kind: type[Record], id: str, values: Mapping[str, Any]) -> set[Lookup]:
    """Return the lookups of a record.

    Records of other releases must have the same lookups: a change of a kind's INDEXED_FIELDS needs a migration.

    Args:
        kind: the record's kind.
        id: the record's id.
        values: the record's fields, as returned by `records.fields.values_of` or decoded from the stored JSON.
    """
    lookups = set()
    for field in kind.INDEXED_FIELDS:
        if field in kind.FILTER_FIELDS:
            continue
        value = id if field == "id" else values.get(field)
        for each in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
            if not each:
                continue
            lookups.add(Lookup(field in kind.CROSS_REPOSITORY_FIELDS, field, packed(each)))
    return lookups
