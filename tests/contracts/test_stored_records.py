"""The stored form of every kind, in both metadata stores, is the one that earlier releases read and write.

stored_records.json was written by `stored_forms`. A new kind adds an entry, a new field with a default
adds that. Any other change of an existing kind needs a migration of all records.
"""

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from lading_storage.commit_size import size_of
from lading_storage.firestore_documents import fields_of, path_of, queue_entry, record_found
from lading_storage.firestore_indexes import indexes_of
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.protocols import Create, Delete, Replace, Touch
from lading_storage.records.core import HIDDEN_UNVERIFIED, MARKED, UNVERIFIED, Record
from lading_storage.records.kinds import KINDS
from tests.support.record_examples import DIGEST, EXAMPLES, NOW, OTHER

STORED_FORMS: Final[Mapping[str, Any]] = json.loads(Path(__file__).with_name("stored_records.json").read_text())

NONCE: Final = "0" * 16

VARIANTS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Repository": {"deleted": NOW, "kept": NOW, "review": NOW, "looked": True},
    "Blob": {"state": UNVERIFIED, "damaged": "missing"},
    "Link": {"state": MARKED, "since": NOW, "damaged": True},
    "Manifest": {
        "content": None,
        "attachment": ".sig",
        "may_lack": (DIGEST,),
        "restored": NOW,
        "damaged": True,
        "stamp": NOW,
    },
    "Tag": {"id": "V1.0-RC", "content": None, "damaged": True},
    "Upload": {"principal": "a@b", "digest": DIGEST, "resume": "s", "crc32c": 7, "published": DIGEST},
    "Robot": {"former_mac": "ff", "former_until": NOW, "actions": ("pull", "push"), "owner": "team"},
    "DeletedManifest": {"subject": OTHER, "artifact_type": "t", "children": (DIGEST, OTHER), "kept": NOW, "stamp": NOW},
    "DeletedTag": {"id": "V1.0-RC", "kept": NOW, "by": "a@b"},
    "DeletedLink": {"state": HIDDEN_UNVERIFIED, "since": NOW, "kept": NOW},
    "TagHistory": {"stamp": NOW, "clamped": 2},
    "TagEvent": {"digest": OTHER, "by": "a@b", "request": "r"},
}
"""Values of fields that the examples leave at their defaults."""

RECORDS: Final[Mapping[str, Record]] = {
    **{type(each).__name__: each for each in EXAMPLES},
    **{
        f"{type(each).__name__} with more": replace(each, **VARIANTS[type(each).__name__])
        for each in EXAMPLES
        if type(each).__name__ in VARIANTS
    },
}


def stored_forms(folder: Path) -> dict[str, Any]:
    """Return the stored form of each record, and the indexes of each kind."""
    forms = {
        name: {"sqlite": sqlite_form(folder / f"{number}.sqlite", record), "firestore": firestore_form(record)}
        for number, (name, record) in enumerate(RECORDS.items())
    }
    indexes = {kind.KIND: sorted(map(list, indexes_of(kind))) for kind in KINDS}
    return {"records": forms, "indexes": indexes}


def sqlite_form(path: Path, record: Record) -> dict[str, Any]:
    """Return the rows of a record."""
    store = SqliteMetadata(path)
    store.commit([Create(record)])
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as file:
        entries = file.execute("SELECT kind, repository, position, id, due, fields, content FROM entries").fetchall()
        lookups = file.execute("SELECT kind, scope, field, value, id, repository, entry FROM lookups").fetchall()
    return {name: [[*map(plain, row)] for row in rows] for name, rows in (("entries", entries), ("lookups", lookups))}


def firestore_form(record: Record) -> dict[str, Any]:
    """Return the document of a record, and the sizes of its writes."""
    fields = fields_of(record, NONCE) | queue_entry(record)
    writes = (Create(record), Replace(record), Delete(record), Touch(record.key))
    return {
        "path": path_of(record.key),
        "fields": {name: plain(value) for name, value in sorted(fields.items())},
        "sizes": [size_of([write]) for write in writes],
    }


def plain(value: object) -> object:
    """Return a value in JSON."""
    if isinstance(value, bytes):
        return f"hex {value.hex()}"
    return f"time {value.isoformat()}" if isinstance(value, datetime) else value


def test_records_are_stored_as_ever(tmp_path: Path) -> None:
    forms = stored_forms(tmp_path)

    assert forms["records"].keys() == STORED_FORMS["records"].keys()
    for name, form in forms["records"].items():
        assert form == STORED_FORMS["records"][name], name
    assert forms["indexes"] == STORED_FORMS["indexes"]


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
def test_a_document_is_read_as_the_record_that_it_was_written_from(record: Record) -> None:
    assert record_found(type(record), fields_of(record, NONCE), "v") == record
