"""A metadata store that lets something else happen between two of its calls."""

import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from lading_storage.protocols import Found, MetadataStore, QueueCursor, Queued, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, R


class InterleavingStore:
    """Passes every call on; just before the one whose number is `point`, from 0 on, `then` is done, once."""

    def __init__(self, inner: MetadataStore, point: int = -1, then: Callable[[], Any] = lambda: None) -> None:
        self.calls = 0
        self._inner = inner
        self._point = point
        self._then = then

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        self._count()
        return self._inner.read(keys, content=content)

    def find(self, query: Query[R]) -> list[R]:
        self._count()
        return self._inner.find(query)

    def due(
        self, kind: type[R], queue: str, until: datetime, *, after: QueueCursor[R] | None = None, limit: int
    ) -> list[Queued[R]]:
        self._count()
        return self._inner.due(kind, queue, until, after=after, limit=limit)

    def commit(self, writes: Sequence[Write]) -> None:
        self._count()
        self._inner.commit(writes)

    def compact(self, limit: int) -> int:
        self._count()
        return self._inner.compact(limit)

    def schema_raised(self) -> datetime | None:
        self._count()
        return self._inner.schema_raised()

    def close(self) -> None:
        self._inner.close()

    def _count(self) -> None:
        number, self.calls = self.calls, self.calls + 1
        if number == self._point:
            self._then()


class DelayedCommits(InterleavingStore):
    """Waits some milliseconds before each commit, so that others come in between as often as can be."""

    def commit(self, writes: Sequence[Write]) -> None:
        time.sleep(random.uniform(0, 0.01))
        super().commit(writes)
