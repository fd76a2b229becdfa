"""Leaky-bucket counters: recent number of events, by key."""

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

from cachetools import LRUCache

K = TypeVar("K", bound=Hashable)

MAX_KEYS: Final = 10_000
"""Keys that are counted at a time; the least recently used are evicted."""


class Count(NamedTuple):
    """State of a counter at its last change: the level, and the time (seconds of the clock)."""

    level: float
    changed: float


class LeakyCounters(Generic[K]):
    """A counter for each key, whose level falls by `leak` per second, down to 0. Thread-safe."""

    def __init__(self, leak: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with all counters at 0."""
        self._leak = leak
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: LRUCache[K, Count] = LRUCache(MAX_KEYS)

    def last(self, key: K) -> Count:
        """Return the state of a counter at its last change."""
        with self._lock:
            count: Count | None = self._counts.get(key)
            return count or Count(0.0, self._clock())

    def add(self, key: K, amount: float = 1.0, maximum: float = float("inf")) -> None:
        """Change a counter by `amount`, clamped to 0 and `maximum`."""
        with self._lock:
            level = min(maximum, max(0.0, self._level(key) + amount))
            self._counts[key] = Count(level, self._clock())

    def try_increment(self, key: K, maximum: float) -> bool:
        """Add 1 unless that would exceed `maximum`; return whether it was added."""
        with self._lock:
            level = self._level(key) + 1
            if level > maximum:
                return False
            self._counts[key] = Count(level, self._clock())
            return True

    def reset(self, key: K) -> None:
        """Set a counter to 0."""
        with self._lock:
            self._counts.pop(key, None)

    def _level(self, key: K) -> float:
        count: Count | None = self._counts.get(key)
        return max(0.0, count.level - self._leak * (self._clock() - count.changed)) if count else 0.0
