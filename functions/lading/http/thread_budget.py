"""The threads that slow clients may hold: with request bodies, and with responses to unauthenticated clients.

Both have one budget. With one of their own for each, both together could have all threads, and then every other request
would wait: 48 uploads of one user and 64 downloads of unauthenticated clients kept others waiting for 40 s and more.
"""

from threading import Lock
from typing import Final

MIN_RESERVED: Final = 8
THREADS_PER_RESERVED: Final = 4
"""One in so many threads is reserved for other requests, and at least MIN_RESERVED, but never more than half of all
threads."""


class ThreadBudget:
    """The budget of one server. Thread-safe.

    total  its threads
    held   those that are in use
    """

    def __init__(self, threads: int) -> None:
        """Create the budget of a server with so many threads."""
        reserved = min(max(MIN_RESERVED, threads // THREADS_PER_RESERVED), threads // 2)
        self.total = max(1, threads - reserved)
        self.held = 0
        self._lock = Lock()

    def acquire(self, spare: int = 0) -> bool:
        """Acquire a thread until `release`, and return whether more than `spare` were free."""
        with self._lock:
            if self.total - self.held <= spare:
                return False
            self.held += 1
            return True

    def release(self) -> None:
        """Release a thread."""
        with self._lock:
            self.held -= 1
