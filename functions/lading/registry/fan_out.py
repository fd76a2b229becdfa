"""Fan-out: run one query for each of many items, concurrently, since each query is a round trip."""

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from lading.concurrent_map import map_concurrently

T = TypeVar("T")
V = TypeVar("V")

MAX_CONCURRENCY: Final = 16
MAX_SEQUENTIAL: Final = 4
"""Up to so many queries run one after the other: threads would cost more."""


def query_each(query: Callable[[T], V], items: Iterable[T]) -> list[tuple[T, V]]:
    """Return each distinct item with the result of its query, in order. Raises what `query` raises."""
    distinct = list(dict.fromkeys(items))
    if len(distinct) <= MAX_SEQUENTIAL:
        return [(item, query(item)) for item in distinct]
    return list(zip(distinct, map_concurrently(query, distinct, MAX_CONCURRENCY), strict=True))
