"""The queue of the processes that write one SQLite file.

SQLite's own lock is polled, by each waiter at intervals of up to 100 ms: who commits in a loop gives it back for some
microseconds at a time, and the others find it taken until they give up. Here two file locks make a queue: a process
takes `queue`, then `turn`, and gives `queue` back. Who has just written finds `queue` taken by who waits for `turn`.

The queue is for fairness alone: SQLite's lock still keeps writers apart, so who has waited too long goes on without it.
A process that was stopped (SIGSTOP) in its turn keeps that for ever: so whoever has waited too long for it once looks
only whether it has gone, and does not wait again.
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
"""Seconds between two attempts to take a lock: short beside a commit."""


class WriterQueue:
    """The place of one process in the queue; its threads take turns among themselves."""

    def __init__(self, path: Path, timeout: float) -> None:
        """Queue for writing `path`, in files beside it; wait for `timeout` seconds at most for other processes."""
        self._timeout = timeout
        self._thread = threading.Lock()
        self._is_stuck = False
        self._queue, self._turn = (
            os.open(f"{path}-{name}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE) for name in ("queue", "turn")
        )

    @contextlib.contextmanager
    def acquire(self) -> Iterator[None]:
        """Wait until it is this thread's turn, which lasts until the block ends."""
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
        """Leave the queue for good."""
        with self._thread:
            for file in (self._queue, self._turn):
                os.close(file)
            # The system gives the numbers to other files.
            self._queue = self._turn = -1


@contextlib.contextmanager
def _locked(file: int, deadline: float) -> Iterator[bool]:
    """Hold the lock of a file during the block, if it can be had until the deadline."""
    locked = _try_until(file, deadline)
    try:
        yield locked
    finally:
        if locked:
            fcntl.flock(file, fcntl.LOCK_UN)


def _try_until(file: int, deadline: float) -> bool:
    """Try to lock a file until a deadline (time.monotonic). Returns whether it is locked."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_INTERVAL)
