"""A delay after failed logins, which grows with each of them.

A login within the delay is refused at once with 429 and Retry-After, without looking at the password: it holds no
thread and costs no bcrypt, and a right password is not told from a wrong one.

counted by             free failures   one is forgotten every   then refused for
user name and network  3               5 minutes                0.5 s after the next one, doubling up to 30 s
network                30              minute                   the same

Nothing is counted by user name alone, so that no account can be locked from elsewhere. Callers that logged in lately
from a network (RecentLogins) are not delayed because of failures with other names there, and not at all with the
password of then. A good login forgets the failures of its name and network, and not those of the network: an attacker
may have an account, too.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lading.auth.leaky_counters import LeakyCounters

FIRST_DELAY: Final = 0.5
MAX_DELAY: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many failures are free, and after how many seconds one is forgotten."""

    failures: int
    decay_seconds: float

    @property
    def max_level(self) -> float:
        """The level at which the delay is the longest: no more is counted, so that it passes within the hour."""
        return self.failures + 1 + math.ceil(math.log2(MAX_DELAY / FIRST_DELAY))

    def delay(self, level: float) -> float:
        """Return for how many seconds after a failure the next login is refused."""
        beyond = math.ceil(level) - self.failures
        return min(MAX_DELAY, FIRST_DELAY * 2.0 ** (beyond - 1)) if beyond > 0 else 0.0


MAX_TRIES: Final = 600
TRIES_PER_SECOND: Final = 0.1
"""By a name and network that are known, within the delay: so many at once, and then one in ten seconds. A flood of 500
connections does not keep out a caller that logged in lately; one that lasts gets 8,640 guesses a day."""

MAX_COUNTED_NAME: Final = 255
"""Characters of a name that are counted by: a client may send 16,384, and the counters of 10,000 names stay in memory.
Longer names that begin alike share a delay."""

BY_NAME: Final = Allowance(3, 300.0)
BY_NETWORK: Final = Allowance(30, 60.0)


class LoginDelay:
    """Failed logins, counted. Any thread may use it; what it remembers is bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin without failures."""
        self._clock = clock
        self._by_name: LeakyCounters[tuple[str, str]] = LeakyCounters(1 / BY_NAME.decay_seconds, clock)
        self._by_network: LeakyCounters[str] = LeakyCounters(1 / BY_NETWORK.decay_seconds, clock)
        self._tries: LeakyCounters[tuple[str, str]] = LeakyCounters(TRIES_PER_SECOND, clock)

    def remaining(self, name: str, network: str, known: bool) -> float:
        """Return the seconds that are left of the delay. `known` callers logged in lately, by this name from there."""
        counts = [(self._by_name.last(_key(name, network)), BY_NAME)]
        if not known:
            counts.append((self._by_network.last(network), BY_NETWORK))
        now = self._clock()
        return max(0.0, *(count.changed + allowance.delay(count.level) - now for count, allowance in counts))

    def may_try(self, name: str, network: str) -> bool:
        """Return whether a known caller's password may be compared with the remembered one within the delay.

        Each try counts, a good one as well: without an end to them an attacker in the same network could guess at full
        speed, for as long as the right password is remembered.
        """
        return self._tries.try_increment((name, network), MAX_TRIES)

    def failed(self, name: str, network: str) -> None:
        """Count a failure."""
        self._by_name.add(_key(name, network), 1, BY_NAME.max_level)
        self._by_network.add(network, 1, BY_NETWORK.max_level)

    def succeeded(self, name: str, network: str) -> None:
        """Forget the failures of a name and network."""
        self._by_name.reset(_key(name, network))


def _key(name: str, network: str) -> tuple[str, str]:
    """Return what failures of a name are counted by: bounded, since any client may send any name."""
    return name[:MAX_COUNTED_NAME], network
