"""Exponential delay after failed logins.

A login within the delay is refused immediately with 429 and Retry-After, without checking the password: it holds no
thread and costs no bcrypt work, and the response does not reveal whether the password is correct.

counted per            free failures   one decays every   then logins are refused for
user name and network  3               5 minutes          0.5 s after the next failure, doubling up to 30 s
network                30              minute             the same

Nothing is counted per user name alone, so an account cannot be locked out from another network. Callers that logged in
recently from a network (RecentLogins) are not delayed by failures of other names in that network, and not at all with
the password of that login. A successful login resets the failures of its name and network, but not those of the
network: an attacker may have an account, too.
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
    """Tolerance of failures.

    failures       number without a delay
    decay_seconds  seconds after which one failure is discounted
    """

    failures: int
    decay_seconds: float

    @property
    def max_level(self) -> float:
        """The level of the longest delay. Counting stops there, so that the delay ends within the hour."""
        return self.failures + 1 + math.ceil(math.log2(MAX_DELAY / FIRST_DELAY))

    def delay(self, level: float) -> float:
        """Return the seconds after a failure for which the next login is refused."""
        beyond = math.ceil(level) - self.failures
        return min(MAX_DELAY, FIRST_DELAY * 2.0 ** (beyond - 1)) if beyond > 0 else 0.0


MAX_ATTEMPTS: Final = 600
ATTEMPTS_PER_SECOND: Final = 0.1
"""Attempts within the delay by a known name and network: burst, and sustained rate (one in ten seconds). A flood of 500
connections does not lock out a caller that logged in recently; a sustained one gets 8,640 guesses a day."""

MAX_COUNTED_NAME: Final = 255
"""Characters of a user name in a counter's key: a client may send 16,384, and the counters of 10,000 names are in
memory. Longer names with a common beginning share a delay."""

BY_NAME: Final = Allowance(3, 300.0)
BY_NETWORK: Final = Allowance(30, 60.0)


class LoginDelay:
    """Counters of failed logins. Thread-safe, with bounded memory."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without failures."""
        self._clock = clock
        self._by_name: LeakyCounters[tuple[str, str]] = LeakyCounters(1 / BY_NAME.decay_seconds, clock)
        self._by_network: LeakyCounters[str] = LeakyCounters(1 / BY_NETWORK.decay_seconds, clock)
        self._attempts: LeakyCounters[tuple[str, str]] = LeakyCounters(ATTEMPTS_PER_SECOND, clock)

    def remaining(self, name: str, network: str, known: bool) -> float:
        """Return the remaining seconds of the delay, 0 for none.

        Args:
            name: user name of the login.
            network: of the client.
            known: whether this name logged in recently from this network.
        """
        counts = [(self._by_name.last(_key(name, network)), BY_NAME)]
        if not known:
            counts.append((self._by_network.last(network), BY_NETWORK))
        now = self._clock()
        return max(0.0, *(count.changed + allowance.delay(count.level) - now for count, allowance in counts))

    def try_attempt(self, name: str, network: str) -> bool:
        """Return whether a known caller's password may be compared with the cached one within the delay.

        Each attempt counts, successful ones included: without a limit an attacker in the same network could guess at
        full speed for as long as the correct password is cached.
        """
        return self._attempts.try_increment((name, network), MAX_ATTEMPTS)

    def record_failure(self, name: str, network: str) -> None:
        """Count a failed login."""
        self._by_name.add(_key(name, network), 1, BY_NAME.max_level)
        self._by_network.add(network, 1, BY_NETWORK.max_level)

    def record_success(self, name: str, network: str) -> None:
        """Reset the failures of a name and network."""
        self._by_name.reset(_key(name, network))


def _key(name: str, network: str) -> tuple[str, str]:
    """Return the key of a counter, with a bounded name: a client may send any name."""
    return name[:MAX_COUNTED_NAME], network
