"""The schema of the metadata store in SQLite, and how texts and records become columns and rows.

    repositories  a number for each name: the rows of the other tables repeat the number, not the name
    entries       one row a record: its key, its version, its fields as JSON, and its content
    lookups      one row for each value of an entry that MetadataStore.find may ask for

All that is asked within one repository is one range of one index, in the order in which it is wanted: its cost does
not depend on what other repositories hold. Numbers of repositories are given once and never reused.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from lading_storage.digests import is_digest
from lading_storage.records.core import Record
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS

VERSION: Final = 4
"""The schema version that this release reads and writes (`PRAGMA user_version`)."""

TABLES: Final = """
CREATE TABLE repositories (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO repositories VALUES (0, '');
CREATE TABLE entries (
    number INTEGER PRIMARY KEY,
    kind INTEGER NOT NULL,        -- NUMBERS
    repository INTEGER NOT NULL,  -- repositories.number
    position NOT NULL,            -- position_of: unique, and what a listing is sorted by
    id TEXT,                      -- NULL where the position is the id
    version TEXT NOT NULL,
    due TEXT,                     -- Record.due; NULL while the record waits in no queue
    fields TEXT NOT NULL,         -- JSON
    content BLOB
);
CREATE TABLE lookups (
    kind INTEGER NOT NULL,
    scope INTEGER NOT NULL,       -- repositories.number, or EVERYWHERE
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

KIND_NUMBERS: Final[Mapping[str, int]] = {
    "repositories": 1,
    "blobs": 2,
    "links": 3,
    "manifests": 4,
    "tags": 5,
    "uploads": 6,
    "robots": 7,
    "deleted_manifests": 8,
    "deleted_tags": 9,
    "deleted_links": 10,
    "histories": 11,
    "moves": 12,
    "pulls": 13,
    "running": 14,
    "jobs": 15,
    "identities": 16,
}
"""The number of each kind in the file. Stores have them: a new kind gets a new number, and none is ever changed."""

GLOBAL_SCOPE: Final = -1
"""The scope of values by which records of all repositories are found (kinds.CROSS_REPOSITORY_FIELDS)."""

FILTERS: Final = frozenset({("manifests", "artifact_type")})
"""Fields that are asked only beside another field of FOUND_BY: compared in the rows that this one finds."""

ALGORITHM_BYTES: Final = {"sha256": b"\1", "sha512": b"\2"}
"""The byte before a packed digest. Bytes sort as digests do."""
ALGORITHM_NAMES: Final = {byte[0]: name for name, byte in ALGORITHM_BYTES.items()}

TIME_FIELDS: Final = frozenset(
    {"created", "deleted", "expires", "former_until", "kept", "moved", "pulled", "reported", "restored"}
    | {"review", "since", "stamp", "touched", "until"}
)
"""The fields that are times: ISO 8601 in JSON."""

_GLOBAL_FIELDS: Final = frozenset((kind.KIND, field) for kind, field in CROSS_REPOSITORY_FIELDS)


def packed(text: str) -> str | bytes:
    """Return what is stored for a text: a digest is 33 or 65 bytes, anything else the text itself."""
    if text.startswith("sha") and is_digest(text):
        algorithm, _, digits = text.partition(":")
        return ALGORITHM_BYTES[algorithm] + bytes.fromhex(digits)
    return text


def unpacked(stored: str | bytes) -> str:
    """Return the text that `packed` returned `stored` for."""
    return stored if isinstance(stored, str) else f"{ALGORITHM_NAMES[stored[0]]}:{stored[1:].hex()}"


_ENCODER: Final = json.JSONEncoder(default=datetime.isoformat, separators=(",", ":"))
"""Made once: json.dumps makes one for each call that is not a plain one."""


def encoded(values: Mapping[str, Any]) -> str:
    """Return the JSON of a record's fields."""
    return _ENCODER.encode(values)


def decoded(text: str) -> Mapping[str, Any]:
    """Return the fields that `encoded` returned `text` for."""
    values: dict[str, Any] = json.loads(text)
    for name in TIME_FIELDS & values.keys():
        values[name] = values[name] and datetime.fromisoformat(values[name])
    return values


def position_of(kind: type[Record], id: str) -> str | bytes:
    """Return what identifies a record within its kind and repository, and sorts as `kind.order` does."""
    return kind.order(id) if _is_ordered(kind) else packed(id)


def id_of(kind: type[Record], id: str) -> str | None:
    """Return the column `id` of a record: None where its position says it."""
    return id if _is_ordered(kind) else None


def _is_ordered(kind: type[Record]) -> bool:
    """Whether a kind's listings are sorted by something else than the ids."""
    return kind.order.__func__ is not Record.order.__func__  # type: ignore[attr-defined]


class Lookup(NamedTuple):
    """A value by which a record is found, in its repository or everywhere."""

    is_global: bool
    field: str
    value: str | bytes


def lookups_of(kind: type[Record], id: str, values: Mapping[str, Any]) -> set[Lookup]:
    """Return the lookups of a record with these fields, as `records.values_of` or the stored JSON has them.

    What another release wrote has to have the same ones: a kind whose FOUND_BY changes needs a migration.
    """
    found = set()
    for field in kind.INDEXED_FIELDS:
        if (kind.KIND, field) in FILTERS:
            continue
        value = id if field == "id" else values.get(field)
        for each in value if isinstance(value, Sequence) and not isinstance(value, str) else (value,):
            if not each:
                continue
            if (kind.KIND, field) in _GLOBAL_FIELDS:
                found.add(Lookup(True, field, packed(each)))
            if field != "id":  # within a repository the id is the key
                found.add(Lookup(False, field, packed(each)))
    return found
