"""Answers that are remembered for a short while, and never many of them."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

from cachetools import TLRUCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

YES: Final = 60.0
"""Seconds for an answer that lets somebody do something."""

NO: Final = 5.0
"""Seconds for one that does not: whoever was just given a right should not wait for it."""

MOST: Final = 10_000
"""Answers; the oldest make room."""


class Answers(Generic[K, V]):
    """Answers by question. Any thread may use it; an exception is no answer, and is not remembered."""

    def __init__(self, is_yes: Callable[[V], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """Remember what `is_yes` says yes to for longer than the rest."""
        self._lock = threading.Lock()

        def end(key: K, answer: V, now: float) -> float:
            return now + (YES if is_yes(answer) else NO)

        self._answers: TLRUCache[Any, Any] = TLRUCache(MOST, end, clock)

    def get(self, question: K, ask: Callable[[], V]) -> V:
        """The answer to `question`: remembered, or what `ask` answers."""
        # Not `in` first: between two looks an answer can become too old.
        with self._lock, contextlib.suppress(KeyError):
            answer: V = self._answers[question]
            return answer
        # Not under the lock: others must not wait for Google on our behalf. Who asks twice gets two good answers.
        return self.put(question, ask())

    def put(self, question: K, answer: V) -> V:
        """Remember the answer to a question; answers it."""
        with self._lock:
            self._answers[question] = answer
        return answer
