"""How records are laid out as documents: where each is, and its fields.

A document holds the record's fields and some of the driver's own: `id`, `repository`, `position` (by which listings are
sorted), `due` (the record's entry in a queue, where it waits in one) and `nonce`.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from lading_storage.records.core import UNVERIFIED, Key, Link, R, Record, record_of, values_of

DRIVER_FIELDS: Final = frozenset({"id", "repository", "position", "nonce", "due"})


def path_of(key: Key[Any]) -> str:
    """Return the path of a record's document, below the database's root."""
    return f"{collection_of(key.kind, key.repository)}/{document_id(key.id)}"


def collection_of(kind: type[Record], repository: str) -> str:
    """Return the path of the collection of a kind in a repository, or at the top where `repository` is ""."""
    return f"repositories/{document_id(repository)}/{kind.KIND}" if repository else kind.KIND


def document_id(id: str) -> str:
    """Return an id as Firestore takes it: without a slash, and not `__…__`, which is reserved; no two give the same."""
    plain = id.replace("/", ":")
    return f":{plain}" if plain.startswith("__") else plain


def new_nonce() -> str:
    """Return a value that no document has."""
    return secrets.token_hex(8)


def fields_of(record: Record, nonce: str) -> dict[str, Any]:
    """Return a document's fields but for `due`."""
    own = {"id": record.id, "repository": record.repository, "position": record.order(record.id), "nonce": nonce}
    return values_of(record) | own


def queue_entry(record: Record) -> dict[str, Any]:
    """Return the field of a record that waits in a queue. All others lack it, so that they cost no index entry."""
    return {"due": record.due} if record.due else {}


def record_in(key: Key[R], fields: Mapping[str, Any], version: str) -> R:
    """Return the record of a document that is read by its key.

    A link from before links had states is loose: nobody knows whether a manifest names it.
    """
    own = {name: value for name, value in fields.items() if name not in DRIVER_FIELDS}
    if key.kind is Link and "state" not in own:
        own |= {"state": UNVERIFIED, "since": own["created"]}
    return record_of(key, own, version)


def record_found(kind: type[R], fields: Mapping[str, Any], version: str) -> R:
    """Return the record of a document that a query found."""
    return record_in(Key(kind, fields["id"], fields["repository"]), fields, version)
