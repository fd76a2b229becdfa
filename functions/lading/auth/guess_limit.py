"""Rate limit for credentials that may be guesses: those that have not been valid before."""

import time
from collections.abc import Callable
from typing import Final

from lading.auth.leaky_counters import LeakyCounters
from lading.registry.errors import UNAVAILABLE, RegistryError, too_many_logins

MAX_GUESSES: Final = 500
GUESSES_PER_SECOND: Final = 10.0
"""Total over all networks: burst, and sustained rate."""

MAX_GUESSES_OF_NETWORK: Final = 100
GUESSES_PER_SECOND_OF_NETWORK: Final = 1.0
"""The same for one client network."""


class GuessLimit:
    """Counts possible guesses, per client network and in total. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with all counters at 0."""
        self._total: LeakyCounters[None] = LeakyCounters(GUESSES_PER_SECOND, clock)
        self._by_network: LeakyCounters[str] = LeakyCounters(GUESSES_PER_SECOND_OF_NETWORK, clock)

    def acquire(self, network: str) -> None:
        """Count one guess.

        Raises:
            RegistryError: TOO_MANY_LOGINS above the limit of the network, UNAVAILABLE above the total limit.
        """
        if not self._by_network.try_increment(network, MAX_GUESSES_OF_NETWORK):
            raise too_many_logins(1)
        if not self._total.try_increment(None, MAX_GUESSES):
            raise RegistryError(UNAVAILABLE)

    def refund(self, network: str) -> None:
        """Take one guess back, after the credentials proved valid."""
        self._total.add(None, -1)
        self._by_network.add(network, -1)
