"""Plans: which of the calls to the backends fails, and how."""

import threading
from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from typing import Final


class FaultKind(StrEnum):
    """A kind of fault; a number is an HTTP status, or the gRPC status that stands for it."""

    INTERNAL = "500"
    UNAVAILABLE = "503"
    TOO_MANY = "429"
    UNAUTHENTICATED = "401"
    RESET_BEFORE = "reset before the call takes effect"
    RESET_AFTER = "reset after the call took effect"
    DELAY = "delay"
    CUT = "cut answer"
    CHECKSUM = "wrong crc32c"


STATUSES: Final = frozenset({FaultKind.INTERNAL, FaultKind.UNAVAILABLE, FaultKind.TOO_MANY, FaultKind.UNAUTHENTICATED})
ANYWHERE: Final = STATUSES | {FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.DELAY}
"""What can happen to any call."""

DELAY: Final = 0.3
"""Seconds."""


class Plan:
    """The plan that both proxies follow; without one they pass everything on.

    calls   how many calls each kind could have happened to
    struck  how many have failed
    """

    def __init__(self) -> None:
        """Plan nothing."""
        self._lock = threading.Lock()
        self.clear()

    def clear(self) -> None:
        """Pass everything on from now."""
        self.set(None, 0)

    def set(self, kind: FaultKind | None, at: int, lasting: bool = False) -> None:
        """Let the call number `at`, of those that `kind` can happen to, fail; and, where `lasting`, all behind it."""
        with self._lock:
            self._kind, self._at, self._lasting = kind, at, lasting
            self.struck = 0
            self.calls: Counter[FaultKind] = Counter()

    def next_fault(self, possible: Collection[FaultKind]) -> FaultKind | None:
        """What happens to the call that is just made, where any of `possible` can."""
        with self._lock:
            self.calls.update(possible)
            if self._kind is None or self._kind not in possible:
                return None
            number = self.calls[self._kind]
            if number != self._at and not (self._lasting and number > self._at):
                return None
            self.struck += 1
            return self._kind
