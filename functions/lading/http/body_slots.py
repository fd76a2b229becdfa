"""Semaphores for requests with a body: how many threads they may hold, in total and for one principal.

A body arrives as slowly as its client likes, and holds a thread meanwhile. So some threads are reserved for requests
without a body, mainly pulls, and no principal takes more slots than it leaves free: a single principal has half of
them, and however many take all they can get, some are left for the next one. A request that gets no slot is refused at
once, since waiting would hold a thread as well.
"""

from collections import Counter
from threading import Lock

from lading.http.thread_budget import ThreadBudget


class BodySlots:
    """The slots of one server. Thread-safe."""

    def __init__(self, budget: ThreadBudget) -> None:
        """Create slots, each for a thread of `budget`."""
        self._budget = budget
        self._held: Counter[str | None] = Counter()
        self._lock = Lock()

    def acquire(self, principal: str | None) -> bool:
        """Acquire a slot until `release`, and return whether there was one.

        None stands for all callers of a registry without authentication: they may have all slots.
        """
        with self._lock:
            if not self._budget.acquire(0 if principal is None else self._held[principal]):
                return False
            self._held[principal] += 1
            return True

    def release(self, principal: str | None) -> None:
        """Release a slot that `principal` holds."""
        with self._lock:
            self._budget.release()
            self._held[principal] -= 1
            if not self._held[principal]:
                del self._held[principal]
