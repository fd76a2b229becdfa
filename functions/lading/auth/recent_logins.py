"""Callers that logged in recently, which take priority over clients that may be guessing."""

import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import TTLCache

RECENT_LOGIN_TTL: Final = 12 * 3600.0
"""Seconds: a login at the beginning of a working day counts until its end."""

MAX_RECENT_LOGINS: Final = 10_000
"""Entries; the least recently used are evicted. Only successful logins add one."""


class RecentLogins:
    """Cache of successful logins by user name (or principal) and client network. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._logins: TTLCache[tuple[str, str], None] = TTLCache(MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, clock)

    def add(self, name: str, network: str) -> None:
        """Add a successful login."""
        with self._lock:
            self._logins[name, network] = None

    def contains(self, name: str, network: str) -> bool:
        """Return whether this caller logged in within RECENT_LOGIN_TTL."""
        with self._lock:
            try:
                self._logins[name, network]
            except KeyError:
                return False
            return True
