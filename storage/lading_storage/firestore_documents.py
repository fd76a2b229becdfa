"""Conversion of records to Firestore documents: their paths and fields.

A document contains the record's fields and those of the driver: `id`, `repository`, `position` (the sort key of
listings), `due` (the record's queue entry, if it is in a queue) and `nonce`.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from lading_storage.records.core import UNVERIFIED, Key, Link, R, Record
from lading_storage.records.fields import record_of, values_of

DRIVER_FIELDS: Final = frozenset({"id", "repository", "position", "nonce", "due"})


def path_of(key: Key[Any]) -> str:
    """Return the path of a record's document, relative to the database's root."""
    return f"{collection_of(key.kind, key.repository)}/{document_id(key.id)}"


def collection_of(kind: type[Record], repository: str) -> str:
    """Return the path of the collection of a kind in a repository, or at the top level if `repository` is ""."""
    return f"repositories/{document_id(repository)}/{kind.KIND}" if repository else kind.KIND


def document_id(id: str) -> str:
    """Return a unique document id for a record id: without slashes, and not `__…__`, which Firestore reserves."""
    escaped = id.replace("/", ":")
    return f":{escaped}" if escaped.startswith("__") else escaped


def new_nonce() -> str:
    """Return a unique value."""
    return secrets.token_hex(8)


def fields_of(record: Record, nonce: str) -> dict[str, Any]:
    """Return a document's fields, without `due`."""
    own = {"id": record.id, "repository": record.repository, "position": record.order(record.id), "nonce": nonce}
    return values_of(record) | own


def queue_entry(record: Record) -> dict[str, Any]:
    """Return the field `due` if the record is in a queue. Other documents omit it, which saves an index entry."""
    return {"due": record.due} if record.due else {}


def record_in(key: Key[R], fields: Mapping[str, Any], version: str) -> R:
    """Return the record of a document that was read by its key.

    A link written before links had states is unverified: it is unknown whether a manifest references it.
    """
    own = {name: value for name, value in fields.items() if name not in DRIVER_FIELDS}
    if key.kind is Link and "state" not in own:
        own |= {"state": UNVERIFIED, "since": own["created"]}
    return record_of(key, own, version)


def record_found(kind: type[R], fields: Mapping[str, Any], version: str) -> R:
    """Return the record of a query result."""
    return record_in(Key(kind, fields["id"], fields["repository"]), fields, version)
