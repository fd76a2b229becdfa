"""Indexed fields of Firestore documents: only those that a query uses, each once.

By default, Firestore indexes each field twice, and each array four times. Index entries count towards the 10 MiB of a
commit (lading_storage.commit_size), cause most of a write's latency, and are billed. terraform/firestore.tf declares
exactly these indexes; a test compares them.
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
    """Index of one field of a kind.

    Attributes:
        field: the field.
        scope: COLLECTION for queries of one collection, COLLECTION_GROUP for queries of all collections of a name.
        mode: ASCENDING, or CONTAINS for an array, with one entry per item.
    """

    field: str
    scope: str
    mode: str


def is_array(kind: type[Record], field: str) -> bool:
    """Return whether a field is an array, which a query searches for one item."""
    types = {each.name: each.type for each in dataclasses.fields(kind)}
    return get_origin(types[field]) is tuple


def _indexes_of(kind: type[Record]) -> tuple[Index, ...]:
    """Return the indexes that queries of a kind need, for MetadataStore.find and due."""
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
"""Indexes of each kind, derived from the declarations in its class."""
