"""Answers that are remembered for a short while, and never many of them."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

POSITIVE_TTL: Final = 60.0
"""Seconds for an answer that lets somebody do something."""

NEGATIVE_TTL: Final = 5.0
"""Seconds for one that does not: whoever was just given a right should not wait for it."""

MAX_ENTRIES: Final = 10_000
"""Answers of each kind; the oldest make room."""


class ResultCache(Generic[K, V]):
    """Answers by question. Any thread may use it; an exception is no answer, and is not remembered.

    Each of the two kinds has room of its own: however many questions are answered with no, no yes makes room for them.
    """

    def __init__(self, is_positive: Callable[[V], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """Remember what `is_positive` says yes to for longer than the rest."""
        self._lock = threading.Lock()
        self._is_positive = is_positive
        self._positive: TTLCache[K, V] = TTLCache(MAX_ENTRIES, POSITIVE_TTL, clock)
        self._negative: TTLCache[K, V] = TTLCache(MAX_ENTRIES, NEGATIVE_TTL, clock)

    def get(self, key: K, load: Callable[[], V]) -> V:
        """The answer to `key`: remembered, or what `load` answers."""
        with contextlib.suppress(KeyError):
            return self._cached(key)
        # Not under the lock: others must not wait for Google on our behalf. Who asks twice gets two good answers.
        return self.put(key, load())

    def put(self, key: K, value: V) -> V:
        """Remember the answer to a question, and return it."""
        with self._lock:
            new, old = (
                (self._positive, self._negative) if self._is_positive(value) else (self._negative, self._positive)
            )
            new[key] = value
            old.pop(key, None)
        return value

    def peek(self, key: K) -> V | None:
        """Return the answer that is remembered, or None."""
        with contextlib.suppress(KeyError):
            return self._cached(key)
        return None

    def keys(self) -> list[K]:
        """Return the questions whose answers are remembered."""
        with self._lock:
            return [*self._positive, *self._negative]

    def _cached(self, key: K) -> V:
        """Return what is remembered. Raises KeyError."""
        with self._lock:
            # Not `in` first: between two looks an answer can become too old.
            with contextlib.suppress(KeyError):
                return self._positive[key]
            return self._negative[key]
