"""A limit of work for credentials that may be guesses: those that have not proved good before."""

import time
from collections.abc import Callable
from typing import Final

from lading.auth.leaky_counters import LeakyCounters
from lading.registry.errors import UNAVAILABLE, RegistryError, too_many_logins

MAX_GUESSES: Final = 500
GUESSES_PER_SECOND: Final = 10.0
"""In all: so many at once, and then so many a second."""

MAX_GUESSES_OF_NETWORK: Final = 100
GUESSES_PER_SECOND_OF_NETWORK: Final = 1.0


class GuessLimit:
    """Counts possible guesses, by client network and in all. Any thread may use it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none."""
        self._all: LeakyCounters[None] = LeakyCounters(GUESSES_PER_SECOND, clock)
        self._of_network: LeakyCounters[str] = LeakyCounters(GUESSES_PER_SECOND_OF_NETWORK, clock)

    def acquire(self, network: str) -> None:
        """Count one. Raises TOO_MANY_LOGINS where the network had too many, and UNAVAILABLE where all together had."""
        if not self._of_network.try_increment(network, MAX_GUESSES_OF_NETWORK):
            raise too_many_logins(1)
        if not self._all.try_increment(None, MAX_GUESSES):
            raise RegistryError(UNAVAILABLE)

    def refund(self, network: str) -> None:
        """Count one less: it was no guess."""
        self._all.add(None, -1)
        self._of_network.add(network, -1)
