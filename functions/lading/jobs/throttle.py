"""Pace of a job: it leaves time to the requests that are served beside it."""

import time
from dataclasses import dataclass, field
from typing import Final

MIN_PAUSE: Final = 0.005
"""Seconds; shorter pauses are added up, since a sleep costs more than it gives."""

MAX_PAUSE: Final = 5.0
"""Seconds that one pause lasts at most, however long a step took."""


@dataclass(slots=True)
class Throttle:
    """How fast a job may go.

    rate  the most records a second, or 0 for as many as it can
    bytes_rate  the most bytes a second that are read, or 0 for as many as it can
    rest  seconds of pause for each second of work: with 1, what is served beside it has the disk half of the time
    """

    rate: float = 0.0
    bytes_rate: float = 0.0
    pause_ratio: float = 0.0
    _since: float = field(default_factory=time.monotonic)
    _owed: float = 0.0

    def start(self) -> None:
        """Count the time of work from now on."""
        self._since, self._owed = time.monotonic(), 0.0

    def pause(self) -> None:
        """Wait as long as the record that was just dealt with demands."""
        self._wait(1 / self.rate if self.rate else 0.0)

    def read(self, size: int) -> None:
        """Wait as long as the `size` bytes demand that were just read, and the work with them."""
        self._wait(size / self.bytes_rate if self.bytes_rate else 0.0)

    def _wait(self, min_seconds: float) -> None:
        """Wait so long that the work since the last call has its rest, and it took `min_seconds` seconds in all."""
        worked = time.monotonic() - self._since
        self._owed += max(worked * self.pause_ratio, min_seconds - worked, 0.0)
        if self._owed >= MIN_PAUSE:
            time.sleep(min(self._owed, MAX_PAUSE))
            self._owed = 0.0
        self._since = time.monotonic()
