"""Slots: how many threads are at requests with a body, in all and for one principal.

A body comes as slowly as its client likes, and holds a thread for as long. So some threads are kept for requests
without one, pulls above all, and nobody has all slots. A request that gets no slot is refused at once: to wait would
hold a thread as well.
"""

from collections import Counter
from threading import Lock
from typing import Final

MIN_KEPT: Final = 8
KEPT: Final = 4
"""One thread in so many is kept for requests without a body, and at least MIN_KEPT, but never more than half."""

SHARE: Final = 2
"""One principal has one slot in so many at the most."""


class BodySlots:
    """The slots of one server. Any thread may use them."""

    def __init__(self, threads: int) -> None:
        """Make slots for a server with so many threads."""
        kept = min(max(MIN_KEPT, threads // KEPT), threads // 2)
        self.total = max(1, threads - kept)
        self.share = max(1, self.total // SHARE)
        self._held: Counter[str] = Counter()
        self._lock = Lock()

    def take(self, principal: str) -> bool:
        """Take a slot until `give_back`, and return whether there was one.

        "" stands for everybody, where nobody has to say who it is, and has no share of its own.
        """
        with self._lock:
            if self._held.total() >= self.total or (principal and self._held[principal] >= self.share):
                return False
            self._held[principal] += 1
            return True

    def give_back(self, principal: str) -> None:
        """Free a slot that `principal` took."""
        with self._lock:
            self._held[principal] -= 1
            if not self._held[principal]:
                del self._held[principal]
