"""The desk: where one thread at a time takes requests, and answers those that are short.

Python runs one thread at a time. Where 32 answer at once, each read of SQLite hands the interpreter's lock to another
one, and the handing over costs more than the answers. One thread alone answers three times as many. But whoever waits
for a client, a disk or a network must not keep others waiting: so a thread leaves the desk before it begins what may
take long, and the next one takes its place; when it is done, it waits until the desk is free again.
"""

import threading

_here = threading.local()


class Desk:
    """For the threads of one server."""

    def __init__(self) -> None:
        """Nobody is there."""
        self._lock = threading.Lock()
        self._taken = False
        self._waiting: list[threading.Lock] = []

    def sit(self) -> None:
        """Between two requests: wait until nobody else is at the desk, unless this thread is there."""
        if not at_desk():
            self._wait()
            _here.desk = self

    def pass_on(self) -> None:
        """Let somebody else sit down: who came last, so that few threads do nearly all, and only theirs is memory."""
        with self._lock:
            self._taken = bool(self._waiting)
            if self._waiting:
                self._waiting.pop().release()

    def _wait(self) -> None:
        turn = threading.Lock()
        turn.acquire()
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            self._waiting.append(turn)
        turn.acquire()


def at_desk() -> bool:
    """Whether this thread keeps others from the next requests."""
    return getattr(_here, "desk", None) is not None


def leave() -> None:
    """Let another thread take the next requests: what this one does may take long. Nothing where there is no desk."""
    if at_desk():
        _here.desk.pass_on()
        _here.desk = None
