"""The Leader/Followers pattern (POSA2): one thread at a time takes requests and processes those that are short.

Python runs one thread at a time. With 32 threads that respond at once, each read of SQLite passes the interpreter's
lock to another thread, and the switches cost more than the responses: a single thread has three times the throughput.
But a thread that waits for a client, a disk or a network must not block the others. So the leader steps down before
any operation that may take long, and promotes a follower. When its request is done, it becomes a follower itself and
waits until it is the leader again.

All threads of a server are drawn in lading.server.serve.
"""

import logging
import math
import threading
import time
from typing import Final

log = logging.getLogger("lading.leader")

MAX_HELD: Final = 0.05
"""Seconds for which a request may hold the leader: all other requests wait meanwhile. Longer ones are logged at the
level DEBUG."""

_thread = threading.local()


class Leader:
    """The leader's position among the threads of one server."""

    def __init__(self) -> None:
        """Create the position, which no thread holds yet."""
        self._lock = threading.Lock()
        self._is_held = False
        self._closed = False
        self._followers: list[threading.Lock] = []

    def acquire(self) -> None:
        """Wait until this thread is the leader. Called between two requests; a leader returns at once."""
        if not is_leader():
            self._wait()
            _thread.leader = self

    def close(self) -> None:
        """Release all followers, and let no thread wait from now on: no further request comes."""
        with self._lock:
            self._closed = True
            while self._followers:
                self._followers.pop().release()

    def promote_follower(self) -> None:
        """Make a follower the leader.

        The latest follower is taken (LIFO), so that a few threads do nearly all the work and only their memory is
        used.
        """
        with self._lock:
            self._is_held = bool(self._followers)
            if self._followers:
                self._followers.pop().release()

    def _wait(self) -> None:
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            if not self._is_held or self._closed:
                self._is_held = True
                return
            self._followers.append(turn)
        turn.acquire()


def is_leader() -> bool:
    """Return whether this thread is the leader of its server."""
    return getattr(_thread, "leader", None) is not None


def begin_request() -> None:
    """Record the time at which this thread begins a request, for `log_held`."""
    _thread.began = time.monotonic()


def log_held(event: str) -> None:
    """Log `event` where this thread has been the leader for more than MAX_HELD since `begin_request`."""
    if is_leader() and log.isEnabledFor(logging.DEBUG):
        seconds = time.monotonic() - getattr(_thread, "began", math.inf)
        if seconds > MAX_HELD:
            log.debug("a request held the leader for %.0f ms: %s", seconds * 1000, event)


def step_down() -> None:
    """Let a follower take the next requests, since this thread is about to block. No-op unless it is the leader."""
    if is_leader():
        log_held("until it stepped down")
        _thread.leader.promote_follower()
        _thread.leader = None
