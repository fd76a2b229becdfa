"""Cache of robots by name, which bounds how often logins read the store.

login with                     reads of the store
a valid secret                 one a minute for each robot
a wrong secret                 one in five seconds for each name (the robot may be new), by up to 16 threads at a time
an unknown name                the same
many names and secrets         a burst of 100, then one a second for each network; a burst of 500, then ten a second in
                               total
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from cachetools import LRUCache

from lading.auth.bulkhead import Bulkhead
from lading.auth.guess_limit import GuessLimit
from lading.auth.leaky_counters import MAX_KEYS
from lading.auth.recent_logins import RecentLogins
from lading_storage.records.robots import Robot

ROBOT_TTL: Final = 60.0
"""Seconds for which a robot is cached, and within which a revocation takes effect."""

MIN_REREAD_INTERVAL: Final = 5.0
"""Seconds between two reads of a name after one that did not confirm the secret."""

MAX_CONCURRENT_READS: Final = 16
MAX_WAITING_READS: Final = 96
"""Concurrent reads, and threads that may wait, for secrets that have not been valid before (GuessLimit). If a hundred
machines start with one robot at the same time, most of them wait for the first reads of it."""

Find = Callable[[str], Robot | None]
Accepts = Callable[[Robot], bool]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A robot as it was read from the store. Times are those of the cache's clock, in seconds.

    robot      None if there was none
    read_at    time of the read
    missed_at  time of the last read whose result did not accept the secret
    """

    robot: Robot | None
    read_at: float
    missed_at: float

    def accepted(self, accepts: Accepts, now: float) -> Robot | None:
        """Return the robot if the entry is fresh and accepts the secret, else None."""
        fresh = self.robot is not None and now - self.read_at < ROBOT_TTL
        return self.robot if fresh and self.robot and accepts(self.robot) else None


_NEVER: Final = _Entry(None, -float("inf"), -float("inf"))


class RobotCache:
    """Cache of robots by name. Thread-safe, with bounded memory."""

    def __init__(self, find: Find, clock: Callable[[], float] = time.monotonic) -> None:
        """Load robots with `find`."""
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: LRUCache[str, _Entry] = LRUCache(MAX_KEYS)
        self._bulkhead = Bulkhead(MAX_CONCURRENT_READS, MAX_WAITING_READS)
        self._confirmed = RecentLogins(clock)
        self._limit = GuessLimit(clock)

    def get(self, name: str, mac: str, accepts: Accepts, network: str) -> Robot | None:
        """Return the robot with this name if it accepts the secret, else None.

        Args:
            name: of the robot.
            mac: MAC of the secret, the key for confirmed secrets.
            accepts: compares the secret with a robot's.
            network: of the client.

        Raises:
            RegistryError: TOO_MANY_LOGINS (429), UNAVAILABLE (503) if there are too many reads.
            StorageError: the store cannot be read.
        """
        entry, now = self._entry(name), self._clock()
        if robot := entry.accepted(accepts, now):
            return robot
        if now - entry.missed_at < MIN_REREAD_INTERVAL:
            return None
        if self._confirmed.contains(name, mac):
            return self._read(name, accepts)
        return self._read_unconfirmed(name, mac, accepts, network)

    def _read_unconfirmed(self, name: str, mac: str, accepts: Accepts, network: str) -> Robot | None:
        """Read a robot for a secret that may be a guess, within the rate limit."""
        self._limit.acquire(network)
        with self._bulkhead.slot(network):
            robot = self._read(name, accepts)
        if robot:
            self._confirmed.add(name, mac)
            self._limit.refund(network)
        return robot

    def _read(self, name: str, accepts: Accepts) -> Robot | None:
        """Read a robot, unless another thread has read it meanwhile."""
        entry, now = self._entry(name), self._clock()
        robot = entry.accepted(accepts, now)
        if robot or now - entry.missed_at < MIN_REREAD_INTERVAL:
            return robot
        entry = _Entry(self._find(name), now, missed_at=-float("inf"))
        robot = entry.accepted(accepts, now)
        with self._lock:
            self._entries[name] = entry if robot else replace(entry, missed_at=now)
        return robot

    def _entry(self, name: str) -> _Entry:
        with self._lock:
            entry: _Entry = self._entries.get(name, _NEVER)
            return entry
