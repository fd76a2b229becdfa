"""An event that signal handlers set and the main thread waits for."""

import contextlib
import threading
from queue import Empty, SimpleQueue
from typing import Final

POLL_INTERVAL: Final = 0.5
"""Seconds between two checks of the main thread for pending signals."""


class PollingEvent(threading.Event):
    """An event whose waiter wakes up at intervals.

    Python's signal handlers run in the main thread only, and a signal that the kernel delivers to another thread does
    not wake it. A handler sets the event between any two instructions of the waiter, or of another handler.
    threading.Event holds a lock there, and the second of two signals would wait forever. SimpleQueue.put is reentrant:
    it may be called within a put or a get.
    """

    def __init__(self) -> None:
        """Create an event that is not set."""
        super().__init__()
        self._signals: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return not self._signals.empty()

    def set(self) -> None:
        """Set the event, in a signal handler or anywhere else."""
        self._signals.put(None)

    def clear(self) -> None:
        """Reset the event."""
        self._signals = SimpleQueue()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set, however long that takes."""
        while not self.is_set():
            with contextlib.suppress(Empty):
                self._signals.put(self._signals.get(timeout=POLL_INTERVAL))
        return True
