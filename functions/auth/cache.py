"""Answers that are remembered for a short while, and never many of them."""

import contextlib
import threading
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from cachetools import TTLCache

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

YES: Final = 60.0
"""Seconds for an answer that lets somebody do something."""

NO: Final = 5.0
"""Seconds for one that does not: whoever was just given a right should not wait for it."""

MOST: Final = 10_000
"""Answers of each kind; the oldest make room."""


class Answers(Generic[K, V]):
    """Answers by question. Any thread may use it; an exception is no answer, and is not remembered.

    Each of the two kinds has room of its own: however many questions are answered with no, no yes makes room for them.
    """

    def __init__(self, is_yes: Callable[[V], bool], clock: Callable[[], float] = time.monotonic) -> None:
        """Remember what `is_yes` says yes to for longer than the rest."""
        self._lock = threading.Lock()
        self._is_yes = is_yes
        self._yes: TTLCache[K, V] = TTLCache(MOST, YES, clock)
        self._no: TTLCache[K, V] = TTLCache(MOST, NO, clock)

    def get(self, question: K, ask: Callable[[], V]) -> V:
        """The answer to `question`: remembered, or what `ask` answers."""
        with contextlib.suppress(KeyError):
            return self._remembered(question)
        # Not under the lock: others must not wait for Google on our behalf. Who asks twice gets two good answers.
        return self.put(question, ask())

    def put(self, question: K, answer: V) -> V:
        """Remember the answer to a question, and return it."""
        with self._lock:
            new, old = (self._yes, self._no) if self._is_yes(answer) else (self._no, self._yes)
            new[question] = answer
            old.pop(question, None)
        return answer

    def peek(self, question: K) -> V | None:
        """Return the answer that is remembered, or None."""
        with contextlib.suppress(KeyError):
            return self._remembered(question)
        return None

    def questions(self) -> list[K]:
        """Return the questions whose answers are remembered."""
        with self._lock:
            return [*self._yes, *self._no]

    def _remembered(self, question: K) -> V:
        """Return what is remembered. Raises KeyError."""
        with self._lock:
            # Not `in` first: between two looks an answer can become too old.
            with contextlib.suppress(KeyError):
                return self._yes[question]
            return self._no[question]
