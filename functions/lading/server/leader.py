"""The desk: where one thread at a time takes requests, and answers those that are short.

Python runs one thread at a time. Where 32 answer at once, each read of SQLite hands the interpreter's lock to another
one, and the handing over costs more than the answers. One thread alone answers three times as many. But whoever waits
for a client, a disk or a network must not keep others waiting: so a thread leaves the desk before it begins what may
take long, and the next one takes its place; when it is done, it waits until the desk is free again.

All threads of a server are drawn in lading.server.serve.
"""

import logging
import math
import threading
import time
from typing import Final

log = logging.getLogger("lading.leader")

MAX_HELD: Final = 0.05
"""Seconds for which a request may hold the leader: all others wait meanwhile. Longer is logged at the level DEBUG."""

_thread = threading.local()


class Leader:
    """For the threads of one server."""

    def __init__(self) -> None:
        """Nobody is there."""
        self._lock = threading.Lock()
        self._is_held = False
        self._closed = False
        self._followers: list[threading.Lock] = []

    def acquire(self) -> None:
        """Between two requests: wait until nobody else is at the desk, unless this thread is there."""
        if not is_leader():
            self._wait()
            _thread.leader = self

    def close(self) -> None:
        """Let all threads that wait go, and none wait any more: no further request comes."""
        with self._lock:
            self._closed = True
            while self._followers:
                self._followers.pop().release()

    def promote_follower(self) -> None:
        """Let somebody else sit down: who came last, so that few threads do nearly all, and only theirs is memory."""
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
    """Whether this thread keeps others from the next requests."""
    return getattr(_thread, "leader", None) is not None


def begin_request() -> None:
    """Mark the beginning of a request of this thread, for the log of those that hold the leader for too long."""
    _thread.began = time.monotonic()


def log_held(what: str) -> None:
    """Log `what` where this thread has been the leader since `begin` for more than MAX_HELD."""
    if is_leader() and log.isEnabledFor(logging.DEBUG):
        seconds = time.monotonic() - getattr(_thread, "began", math.inf)
        if seconds > MAX_HELD:
            log.debug("a request held the leader for %.0f ms: %s", seconds * 1000, what)


def step_down() -> None:
    """Let another thread take the next requests: what this one does may take long. Nothing where there is no desk."""
    if is_leader():
        log_held("until it stepped down")
        _thread.leader.promote_follower()
        _thread.leader = None
