"""Callers that logged in lately: they are served before those who may be guessing."""

import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache

RECENT_LOGIN_TTL: Final = 12 * 3600.0
"""Seconds: a caller that logs in at the beginning of a working day is known until its end."""

MAX_RECENT_LOGINS: Final = 10_000
"""Entries; those that were used least recently make room. Only good logins add one."""


class RecentLogins:
    """Remembers good logins by user name (or principal) and client network. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Know no caller yet."""
        self._lock = threading.Lock()
        self._logins: TTLCache[tuple[str, str], None] = TTLCache(MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, clock)

    def add(self, name: str, network: str) -> None:
        """Remember a good login."""
        with self._lock:
            self._logins[name, network] = None

    def knows(self, name: str, network: str) -> bool:
        """Return whether this caller logged in lately."""
        with self._lock:
            try:
                self._logins[name, network]
            except KeyError:
                return False
            return True
