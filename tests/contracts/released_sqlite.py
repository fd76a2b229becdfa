"""SQLite files as earlier releases wrote them."""

import contextlib
import json
import secrets
import sqlite3
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

from lading_storage.records.core import Record
from lading_storage.records.fields import values_of

FIRST: Final = """
    CREATE TABLE records (
        kind TEXT NOT NULL, repository TEXT NOT NULL, id TEXT NOT NULL,
        version TEXT NOT NULL,
        position TEXT NOT NULL,
        fields TEXT NOT NULL,
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
"""
"""The schema of versions 1 and 2: the second one has the states of links, and blobs by their objects, as well."""

LATER: Final = frozenset({"review", "looked", "damaged"})
"""Fields that no release had under version 2."""


def make_released(path: Path, records: Iterable[Record], version: int = 2) -> None:
    """Make a file of schema version 1 or 2 with records; version 1 has links without a state."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")
        file.executescript(FIRST)
        for record in records:
            _insert(file, record, version)
        file.execute(f"PRAGMA user_version = {version}")
        file.commit()


def _insert(file: sqlite3.Connection, record: Record, version: int) -> None:
    later = LATER | ({"state", "since"} if version == 1 else set())
    values = {name: value for name, value in values_of(record).items() if name not in later}
    content = values.pop("content", None)
    fields = json.dumps(values, default=datetime.isoformat)
    place = (record.KIND, record.repository, record.id)
    file.execute(
        "INSERT INTO records (kind, repository, id, version, position, fields, content) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (*place, secrets.token_hex(8), record.order(record.id), fields, content),
    )
    for field in (*record.INDEXED_FIELDS, *(["state"] if record.KIND in ("blobs", "links") else [])):
        value = values.get(field, record.id if field == "id" else None)
        file.executemany(
            "INSERT OR IGNORE INTO mentions (kind, repository, id, field, value) VALUES (?, ?, ?, ?, ?)",
            [(*place, field, each) for each in (value if isinstance(value, list) else [value]) if each],
        )
