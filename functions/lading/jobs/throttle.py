"""Throttle of a job: limit its rate, so that requests served by the same machine stay fast."""

import time
from dataclasses import dataclass, field
from typing import Final

MIN_PAUSE: Final = 0.005
"""Seconds. Shorter pauses are accumulated, since each sleep has a cost of its own."""

MAX_PAUSE: Final = 5.0
"""Seconds of the longest pause, however long a step took."""


@dataclass(slots=True)
class Throttle:
    """How fast a job may run.

    Attributes:
        rate: the maximum number of records a second, or 0 for no limit.
        bytes_rate: the maximum number of bytes read a second, or 0 for no limit.
        pause_ratio: seconds of pause for each second of work; with 1, requests have the disk half of the time.
    """

    rate: float = 0.0
    bytes_rate: float = 0.0
    pause_ratio: float = 0.0
    _since: float = field(default_factory=time.monotonic)
    _owed: float = 0.0

    def start(self) -> None:
        """Start to measure the time of work."""
        self._since, self._owed = time.monotonic(), 0.0

    def pause(self) -> None:
        """Wait as long as the rate of records demands after one record."""
        self._wait(1 / self.rate if self.rate else 0.0)

    def read(self, size: int) -> None:
        """Wait as long as the rate of bytes demands after `size` bytes were read and processed."""
        self._wait(size / self.bytes_rate if self.bytes_rate else 0.0)

    def _wait(self, min_seconds: float) -> None:
        """Wait for the pause due for the work since the last call, and at least until that took `min_seconds`."""
        worked = time.monotonic() - self._since
        self._owed += max(worked * self.pause_ratio, min_seconds - worked, 0.0)
        if self._owed >= MIN_PAUSE:
            time.sleep(min(self._owed, MAX_PAUSE))
            self._owed = 0.0
        self._since = time.monotonic()
