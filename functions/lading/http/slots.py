"""Slots: how many threads are at requests with a body, in all and for one principal.

A body comes as slowly as its client likes, and holds a thread for as long. So some threads are kept for requests
without one, pulls above all, and nobody takes more slots than are left: one principal alone has half of them, and
however many ask for all they can get, some are left for the next. A request that gets no slot is refused at once: to
wait would hold a thread as well.
"""

from collections import Counter
from threading import Lock
from typing import Final

MIN_RESERVED: Final = 8
THREADS_PER_RESERVED: Final = 4
"""One thread in so many is kept for requests without a body, and at least MIN_KEPT, but never more than half."""


class BodySlots:
    """The slots of one server. Any thread may use them."""

    def __init__(self, threads: int) -> None:
        """Make slots for a server with so many threads."""
        kept = min(max(MIN_RESERVED, threads // THREADS_PER_RESERVED), threads // 2)
        self.total = max(1, threads - kept)
        self._held: Counter[str | None] = Counter()
        self._lock = Lock()

    def acquire(self, principal: str | None) -> bool:
        """Take a slot until `give_back`, and return whether there was one.

        None stands for all callers, where nobody has to say who it is: they may have all slots.
        """
        with self._lock:
            left = self.total - self._held.total()
            if left <= (0 if principal is None else self._held[principal]):
                return False
            self._held[principal] += 1
            return True

    def release(self, principal: str | None) -> None:
        """Free a slot that `principal` took."""
        with self._lock:
            self._held[principal] -= 1
            if not self._held[principal]:
                del self._held[principal]
