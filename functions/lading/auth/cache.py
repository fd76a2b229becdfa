"""Bounded cache of query results, with a short TTL."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

POSITIVE_TTL: Final = 60.0
"""Seconds for a positive result, such as a granted permission."""

NEGATIVE_TTL: Final = 5.0
"""Seconds for a negative result: a permission that was just granted should take effect soon."""

MAX_ENTRIES: Final = 10_000
"""Results of each kind; the oldest are evicted."""


class ResultCache(Generic[K, V]):
    """Cache of results by key. Thread-safe; exceptions are not cached.

    Positive and negative results have separate space: no number of negative results evicts a positive one.
    """

    def __init__(self, is_positive: Callable[[V], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """Keep results for which `is_positive` returns true for POSITIVE_TTL, and others for NEGATIVE_TTL."""
        self._lock = threading.Lock()
        self._is_positive = is_positive
        self._positive: TTLCache[K, V] = TTLCache(MAX_ENTRIES, POSITIVE_TTL, clock)
        self._negative: TTLCache[K, V] = TTLCache(MAX_ENTRIES, NEGATIVE_TTL, clock)

    def get(self, key: K, load: Callable[[], V]) -> V:
        """Return the cached result for `key`, or else cache and return the result of `load`."""
        with contextlib.suppress(KeyError):
            return self._cached(key)
        # Not under the lock: other threads must not wait for this query. Two concurrent queries do no harm.
        return self.put(key, load())

    def put(self, key: K, value: V) -> V:
        """Cache the result for `key`, and return it."""
        with self._lock:
            new, old = (
                (self._positive, self._negative) if self._is_positive(value) else (self._negative, self._positive)
            )
            new[key] = value
            old.pop(key, None)
        return value

    def peek(self, key: K) -> V | None:
        """Return the cached result, or None."""
        with contextlib.suppress(KeyError):
            return self._cached(key)
        return None

    def keys(self) -> list[K]:
        """Return the keys of all cached results."""
        with self._lock:
            return [*self._positive, *self._negative]

    def _cached(self, key: K) -> V:
        """Return the cached result. Raises KeyError."""
        with self._lock:
            # Not `in` first: an entry can expire between two lookups.
            with contextlib.suppress(KeyError):
                return self._positive[key]
            return self._negative[key]
