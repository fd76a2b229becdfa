"""Indexed fields of Firestore documents: only those that a query uses, each once.

By default, Firestore indexes each field twice, and each array four times. Index entries count towards the 10 MiB of a
commit (lading_storage.commit_size), cause most of a write's latency, and are billed. terraform/firestore.tf declares
exactly these indexes; a test compares them.
"""

from typing import Final, NamedTuple

from lading_storage.records.core import Record
from lading_storage.records.fields import cached_by_kind, layout_of

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


@cached_by_kind
def indexes_of(kind: type[Record]) -> tuple[Index, ...]:
    """Return the indexes that queries of a kind need, for MetadataStore.find and due, as its class declares them."""
    return (
        Index("position", COLLECTION, ASCENDING),
        *(_index_of(kind, field) for field in kind.INDEXED_FIELDS),
        *([Index("due", COLLECTION_GROUP, ASCENDING)] if kind.QUEUES else []),
    )


def _index_of(kind: type[Record], field: str) -> Index:
    if field in kind.CROSS_REPOSITORY_FIELDS:
        return Index(field, COLLECTION_GROUP, ASCENDING)
    return Index(field, COLLECTION, CONTAINS if field in layout_of(kind).arrays else ASCENDING)
