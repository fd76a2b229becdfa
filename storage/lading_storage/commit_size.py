"""Size of a commit by Firestore's rules: the documents that it modifies and their index entries. At most 10 MiB.

The formulas are in https://firebase.google.com/docs/firestore/storage-size, the limit in .../docs/firestore/quotas, and
what counts in .../docs/firestore/manage-data/transactions. For a deleted document, the document and its index entries
count; for a replaced one, the new document, and the entries that leave and enter the indexes.

All stores use the same sizes, so that batches are split in the same way everywhere:

    size_of(writes)                       returns the size of a commit of `writes`
    functions/lading/registry/batches.py  fills commits up to BATCH_SIZE, and halves one that is too large
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, get_origin

from lading_storage.firestore_documents import fields_of, path_of, queue_entry
from lading_storage.firestore_indexes import COLLECTION, CONTAINS, indexes_of
from lading_storage.protocols import MAX_CONTENT_SIZE, Create, Delete, Replace, Touch, Verify, Write
from lading_storage.records.core import Key, Record
from lading_storage.records.fields import cached_by_kind, layout_of

MAX_COMMIT_SIZE: Final = 10 * 1024 * 1024
"""Maximum bytes of a commit."""

BATCH_SIZE: Final = 8 * 1024 * 1024
"""Target size of a batch, in bytes. The margin below the limit covers what the formulas leave open."""

NONCE: Final = "0" * 16
ENTRY: Final = "condemned 2026-11-01T12:30:15.123456+00:00"
"""A queue entry of maximum length."""


def size_of(writes: Iterable[Write]) -> int:
    """Return the bytes that Firestore counts for a commit of `writes`, by its formulas.

    A Touch or Verify has no record, so its document is counted as a typical one of the kind, with empty arrays and no
    content. A Delete of a listed record counts the content that the listing omitted.
    """
    return sum(map(_size, writes))


def document_size(path: str, fields: Mapping[str, Any]) -> int:
    """Return the bytes of a document."""
    return name_size(path) + sum(_string(name) + _value(value) for name, value in fields.items()) + 32


def name_size(path: str) -> int:
    """Return the bytes of a document's name. `path` is the path of a document, or "" for the root."""
    return (_string(path) if path else 0) + 16


def entry_size(path: str, field: str, value: Any, scope: str) -> int:
    """Return the bytes of one entry of a single-field index."""
    parent = path.rpartition("/")[0].rpartition("/")[0]
    return name_size(path) + _string(field) + _value(value) + (name_size(parent) + 32 if scope == COLLECTION else 48)


def _size(write: Write) -> int:
    if isinstance(write, Touch | Verify):
        return _touch_size(write.key)
    record = write.record
    path, fields = path_of(record.key), fields_of(record, NONCE) | queue_entry(record)
    size = document_size(path, fields)
    match write:
        case Create():
            return size + _entries(type(record), path, fields)
        case Delete():
            return size + min(record.omitted_content_size, MAX_CONTENT_SIZE) + _entries(type(record), path, fields)
        case Replace():
            return size + _changed_entries(type(record), path, fields)


def _entries(kind: type[Record], path: str, fields: Mapping[str, Any]) -> int:
    """Return the bytes of all index entries of a document."""
    return sum(
        entry_size(path, index.field, item, index.scope)
        for index in indexes_of(kind)
        if index.field in fields
        for item in (fields[index.field] if index.mode == CONTAINS else [fields[index.field]])
    )


def _changed_entries(kind: type[Record], path: str, fields: Mapping[str, Any]) -> int:
    """Return the bytes of the index entries that a Replace removes and adds, assuming that all that can change do."""
    values = {**fields, "due": ENTRY}
    return sum(
        2 * entry_size(path, index.field, values[index.field], index.scope)
        for index in indexes_of(kind)
        if index.field not in ("id", "position", *kind.FIXED_FIELDS)
    )


def _touch_size(key: Key[Any]) -> int:
    """Return the bytes of a touched document, of which only the key is known. No index entry changes."""
    own = {"id": key.id, "repository": key.repository, "position": key.kind.order(key.id), "nonce": NONCE, "due": ENTRY}
    return document_size(path_of(key), own) + _typical_size(key.kind)


@cached_by_kind
def _typical_size(kind: type[Record]) -> int:
    """Return the bytes of the fields of a typical record of a kind, without contents and arrays."""
    return sum(_string(name) + _typical_value(type_) for name, type_ in layout_of(kind).types.items())


def _typical_value(type_: Any) -> int:
    """Return the bytes of a typical value of a type. A string is an object's name, or shorter."""
    if type_ is str:
        return 48
    return 0 if get_origin(type_) is tuple or type_ == bytes | None else 8


def _string(text: str) -> int:
    # Nearly every string is ASCII, where characters are bytes.
    return (len(text) if text.isascii() else len(text.encode())) + 1


def _value(value: Any) -> int:
    """Return the bytes of a field's value."""
    match value:
        case str():
            return _string(value)
        case bytes():
            return len(value)
        case bool() | None:
            return 1
        case int() | datetime():
            return 8
        case list():
            return sum(map(_value, value))
    raise AssertionError(f"unsupported value in a record: {value!r}")
