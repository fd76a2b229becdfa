"""Fair queue of the processes that write one SQLite file.

Waiters poll SQLite's own lock, at intervals of up to 100 ms. A process that commits in a loop releases the lock only
for microseconds, and the other processes find it taken until they time out. Here two file locks form a queue: a process
takes `queue`, then `turn`, and releases `queue`. A process that has just written finds `queue` held by the process that
waits for `turn`.

The queue is for fairness only: SQLite's lock still isolates writers, so a process that times out proceeds without it.
A process stopped (SIGSTOP) while it holds `turn` keeps it indefinitely. So after one timeout, a process only checks
whether `turn` is free, and does not wait for it again.
"""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading_storage.local.durable_folders import FILE_MODE

POLL_INTERVAL: Final = 0.0005
"""Seconds between two attempts to take a lock: short compared with a commit."""


class WriterQueue:
    """Position of one process in the queue, shared by its threads, of which one at a time proceeds."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Create or open the lock files beside the database.

        Args:
            path: the database.
            timeout: the maximum seconds to wait for other processes.
        """
        self._timeout = timeout
        self._thread = threading.Lock()
        self._is_stuck = False
        self._queue, self._turn = (
            os.open(f"{path}-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE) for name in ("queue", "turn")
        )

    @contextlib.contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait for this thread's turn, and hold it until the block ends."""
        with self._thread:
            deadline = time.monotonic() + (0 if self._is_stuck else self._timeout)
            with _locked(self._queue, deadline) as queue:
                turn = _try_until(self._turn, deadline) if queue else False
                self._is_stuck = not turn
            try:
                yield
            finally:
                if turn:
                    fcntl.flock(self._turn, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the lock files."""
        with self._thread:
            for file in (self._queue, self._turn):
                os.close(file)
            # The operating system reuses the descriptors for other files.
            self._queue = self._turn = -1


@contextlib.contextmanager
def _locked(file: int, deadline: float) -> Iterator[bool]:
    """Hold the lock of a file during the block. Yield whether it was acquired before the deadline."""
    locked = _try_until(file, deadline)
    try:
        yield locked
    finally:
        if locked:
            fcntl.flock(file, fcntl.LOCK_UN)


def _try_until(file: int, deadline: float) -> bool:
    """Try to lock a file until a deadline (time.monotonic). Return whether it is locked."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_INTERVAL)
