"""Turns: how many may do at a time what takes long, and how many wait for it.

Strangers may ask for any number of passwords to be checked, keys to be looked at, or questions to be put to Google.
They must not hold all threads, since those who have a token of ours need nothing but one.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from functions.desk import leave
from functions.registry.errors import UNAVAILABLE, RegistryError


class Turns:
    """Any thread may take one."""

    def __init__(self, at_once: int, waiting: int) -> None:
        """Let `at_once` go on, and `waiting` more wait."""
        self._going = threading.BoundedSemaphore(at_once)
        self._inside = threading.BoundedSemaphore(at_once + waiting)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends. Raises UNAVAILABLE where too many wait already."""
        leave()
        if not self._inside.acquire(blocking=False):
            raise RegistryError(UNAVAILABLE)
        try:
            with self._going:
                yield
        finally:
            self._inside.release()
