"""Which fields of documents are indexed: those that a query asks for, each once, and nothing else.

Firestore would index every field twice, and an array four times. The entries count towards the 10 MiB of a commit
(lading_storage.commit_size), are most of a write's latency, and are paid for. terraform/firestore.tf declares just
these indexes; a test compares.
"""

import dataclasses
from collections.abc import Mapping
from typing import Final, NamedTuple, get_origin

from lading_storage.records.core import Record
from lading_storage.records.kinds import CROSS_REPOSITORY_FIELDS, KINDS

COLLECTION: Final = "COLLECTION"
COLLECTION_GROUP: Final = "COLLECTION_GROUP"
ASCENDING: Final = "ASCENDING"
CONTAINS: Final = "CONTAINS"


class Index(NamedTuple):
    """An index of one field of a kind.

    scope  whether its queries go over one collection, or over all of that name
    mode   ASCENDING, or CONTAINS for an array: an entry for each item
    """

    field: str
    scope: str
    mode: str


def is_array(kind: type[Record], field: str) -> bool:
    """Tell whether a field that a kind is found by is an array, of which a query names one item."""
    types = {each.name: each.type for each in dataclasses.fields(kind)}
    return get_origin(types[field]) is tuple


def _indexes_of(kind: type[Record]) -> tuple[Index, ...]:
    """Return the indexes that queries of a kind need: MetadataStore.scan, find and due."""
    return (
        Index("position", COLLECTION, ASCENDING),
        *(_index_of(kind, field) for field in kind.INDEXED_FIELDS),
        *([Index("due", COLLECTION_GROUP, ASCENDING)] if kind.QUEUES else []),
    )


def _index_of(kind: type[Record], field: str) -> Index:
    if (kind, field) in CROSS_REPOSITORY_FIELDS:
        return Index(field, COLLECTION_GROUP, ASCENDING)
    return Index(field, COLLECTION, CONTAINS if is_array(kind, field) else ASCENDING)


INDEXES: Final[Mapping[type[Record], tuple[Index, ...]]] = {kind: _indexes_of(kind) for kind in KINDS}
"""The indexes of each kind, derived from what its class says of itself."""
