"""A metadata store that counts calls and records."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Found, MetadataStore, Write
from lading_storage.query import Query
from lading_storage.records.core import Key


class CountingStore(ForwardingMetadata):
    """A metadata store that counts queries, and the records that it gives and takes."""

    def __init__(self, inner: MetadataStore) -> None:
        super().__init__(inner)
        self.counts: Counter[str] = Counter()

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        self.counts["read"] += len(keys)
        return super().read(keys, content=content)

    def find(self, query: Query[Any]) -> list[Any]:
        return self._listed(super().find(query))

    def due(self, *place: Any, **page: Any) -> list[Any]:
        return self._listed(super().due(*place, **page))

    def commit(self, writes: Sequence[Write]) -> None:
        self.counts["written"] += len(writes)
        super().commit(writes)

    def _listed(self, found: list[Any]) -> list[Any]:
        self.counts["query"] += 1
        self.counts["listed"] += len(found)
        return found
