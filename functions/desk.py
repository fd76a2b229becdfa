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
        self._chair = threading.Semaphore(1)

    def sit(self) -> None:
        """Between two requests: wait until nobody else is at the desk, unless this thread is there."""
        if not at_desk():
            self._chair.acquire()
            _here.chair = self._chair


def at_desk() -> bool:
    """Whether this thread keeps others from the next requests."""
    return getattr(_here, "chair", None) is not None


def leave() -> None:
    """Let another thread take the next requests: what this one does may take long. Nothing where there is no desk."""
    if at_desk():
        _here.chair.release()
        _here.chair = None
