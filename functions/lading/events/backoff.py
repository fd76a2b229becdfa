"""Back-off: exponential, with jitter."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

SINK_BACKOFF: Final = timedelta(seconds=1)
MAX_SINK_BACKOFF: Final = timedelta(minutes=1)
"""Of a sink that is down. What it misses waits in the outbox, so there is no last attempt."""

REPOSITORY_BACKOFF: Final = timedelta(minutes=1)
MAX_REPOSITORY_BACKOFF: Final = timedelta(hours=1)
"""Of a repository whose events a sink refuses: that is more likely to end by a change of settings than by itself."""


def delay(attempts: int, first: timedelta, longest: timedelta) -> timedelta:
    """Return how long to wait after so many failed attempts: between half and all of the exponential delay."""
    # Up to 2^32: a float holds no larger number of seconds than `longest` needs.
    full = min(first * 2.0 ** min(attempts - 1, 32), longest)
    return full * random.uniform(0.5, 1)


@dataclass(slots=True)
class SinkBackoff:
    """When a sink that is down is tried again. In memory: after a restart, it is tried at once.

    Attributes:
        failures: attempts that failed in a row.
        until: when to try again, or None.
        reason: why the last attempt failed.
    """

    failures: int = 0
    until: datetime | None = None
    reason: str = ""

    def holds(self, time: datetime) -> bool:
        """Return whether the sink is left alone at a time. A clock that was set back does not prolong that."""
        return self.until is not None and time < self.until <= time + MAX_SINK_BACKOFF

    def failed(self, time: datetime, reason: str) -> None:
        """Note a failed attempt."""
        self.failures += 1
        self.until, self.reason = time + delay(self.failures, SINK_BACKOFF, MAX_SINK_BACKOFF), reason

    def succeeded(self) -> None:
        """Note an attempt that did not fail."""
        self.failures, self.until, self.reason = 0, None, ""
