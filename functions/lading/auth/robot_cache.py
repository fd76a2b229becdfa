"""Robots at hand, by name: guesses are compared with these, and the store is read now and then.

a login with                        reads the store
a secret that is good               once a minute for each robot
a secret that is wrong              once in five seconds for each name (it may be new), by up to 16 threads at once
a name that no robot has            the same
names and secrets without end       at most 100 times at once and then once a second for each network, and 500 times at
                                    once and then ten times a second in all
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
from lading_storage.records.core import Robot

ROBOT_TTL: Final = 60.0
"""Seconds that a robot is used as it was read: so long a revocation takes."""

MIN_REREAD_INTERVAL: Final = 5.0
"""Seconds after a reading of a name that did not show the secret to be good, before the next one."""

MAX_CONCURRENT_READS: Final = 16
MAX_WAITING_READS: Final = 96
"""For secrets that have not proved good before (GuessLimit). Of a hundred machines that begin at once with one robot
most wait for the first reads of it."""

Find = Callable[[str], Robot | None]
Accepts = Callable[[Robot], bool]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A robot as it was read from the store.

    robot   None where there was none
    read    when
    missed  when it was last read and did not accept the secret
    """

    robot: Robot | None
    read_at: float
    missed_at: float

    def accepted(self, accepts: Accepts, now: float) -> Robot | None:
        """Return the robot where it is fresh, and accepts the secret."""
        fresh = self.robot is not None and now - self.read_at < ROBOT_TTL
        return self.robot if fresh and self.robot and accepts(self.robot) else None


_NEVER: Final = _Entry(None, -float("inf"), -float("inf"))


class RobotCache:
    """Robots by name. Any thread may use it; what it remembers is bounded."""

    def __init__(self, find: Find, clock: Callable[[], float] = time.monotonic) -> None:
        """Read robots with `find`."""
        self._find = find
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: LRUCache[str, _Entry] = LRUCache(MAX_KEYS)
        self._bulkhead = Bulkhead(MAX_CONCURRENT_READS, MAX_WAITING_READS)
        self._proved = RecentLogins(clock)
        self._limit = GuessLimit(clock)

    def get(self, name: str, mac: str, accepts: Accepts, network: str) -> Robot | None:
        """Return the robot of a name where it `accepts` the secret that `mac` is of; None where there is none.

        Raises TOO_MANY_LOGINS (429) and UNAVAILABLE (503) where too many read already, and StorageError.
        """
        entry, now = self._entry(name), self._clock()
        if robot := entry.accepted(accepts, now):
            return robot
        if now - entry.missed_at < MIN_REREAD_INTERVAL:
            return None
        if self._proved.knows(name, mac):
            return self._read(name, accepts)
        return self._read_unproved(name, mac, accepts, network)

    def _read_unproved(self, name: str, mac: str, accepts: Accepts, network: str) -> Robot | None:
        """Read a robot for a secret that may be a guess."""
        self._limit.acquire(network)
        with self._bulkhead.slot(network):
            robot = self._read(name, accepts)
        if robot:
            self._proved.add(name, mac)
            self._limit.refund(network)
        return robot

    def _read(self, name: str, accepts: Accepts) -> Robot | None:
        """Read a robot, unless another thread has done so meanwhile."""
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
