"""An event that signal handlers set, and the main thread waits for."""

import contextlib
import threading
from queue import Empty, SimpleQueue
from typing import Final

LOOK_UP: Final = 0.5
"""Seconds after which the main thread looks whether a signal has come."""


class PollingEvent(threading.Event):
    """An event whose waiter looks up now and then.

    Python's signal handlers run in the main thread alone, and a signal that the kernel gives to another wakes nobody.
    A handler sets the event between any two instructions of the waiter, or of another handler. threading.Event holds a
    lock there, and the second of two signals would wait for ever; a SimpleQueue may be put to within a put or a get.
    """

    def __init__(self) -> None:
        """Not set."""
        super().__init__()
        self._told: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return not self._told.empty()

    def set(self) -> None:
        """Set the event, in a signal handler or anywhere else."""
        self._told.put(None)

    def clear(self) -> None:
        """Take it back."""
        self._told = SimpleQueue()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set."""
        while not self.is_set():
            with contextlib.suppress(Empty):
                self._told.put(self._told.get(timeout=LOOK_UP))
        return True
