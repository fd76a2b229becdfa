"""Answers that are not small: how many go out at a time, and which of them stand still.

A server that has a piece to send waits for its client, and a thread and some memory with it. A client can let it wait
for ever: over HTTP/2 it need not even be silent meanwhile. So such answers never have all threads, nor more memory than
there is, and one address never all of either; and one that nobody takes is found, for its connection to be dropped.
"""

import math
import time
from collections.abc import Collection, Iterable, Iterator
from threading import Lock
from typing import Final

SMALL: Final = 32 * 1024
"""Bytes of an answer that may be handed to the server at once."""

PIECES: Final = 12
"""Of any other that is in memory: a server takes some half a dozen before the client has taken one."""

ON_THE_WAY: Final = 2 * 1024 * 1024
"""Bytes of an answer that the server has in memory."""

ROOM: Final = 64 * ON_THE_WAY
"""Bytes of memory for all of them."""

SHARE: Final = 3 / 4
"""What they have of the threads, and one address of that, and of the room."""


def in_pieces(content: bytes) -> Iterator[bytes]:
    """`content`, in pieces."""
    size = len(content) // PIECES + 1
    return (content[start : start + size] for start in range(0, len(content), size))


class Piecewise:
    """The pieces of one answer.

    peer    the address that they go to
    room    bytes of memory
    handed  when the server took the last one, as time.monotonic() tells, and has not come for the next
    """

    def __init__(self, pieces: Iterable[bytes], peer: str, room: int) -> None:
        """Nothing is handed out yet."""
        self.peer = peer
        self.room = room
        self.handed = math.inf
        self._pieces = iter(pieces)

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        for piece in self._pieces:
            self.handed = time.monotonic()
            yield piece
            self.handed = math.inf


class Outgoing:
    """All answers of a process that go out in pieces."""

    def __init__(self, threads: int) -> None:
        """For a server with so many threads."""
        self._most = max(1.0, threads * SHARE)
        self._answers: set[Piecewise] = set()
        self._lock = Lock()

    def begin(self, pieces: Iterable[bytes], peer: str, held: int = 0) -> Piecewise | None:
        """Count an answer to `peer` until `end`; None where there is no room.

        held  bytes of it that are in memory anyway
        """
        answer = Piecewise(pieces, peer, ON_THE_WAY + held)
        with self._lock:
            of_one = [other for other in self._answers if other.peer == peer]
            if self._full(self._answers, 1, answer.room) or self._full(of_one, SHARE, answer.room):
                return None
            self._answers.add(answer)
        return answer

    def _full(self, answers: Collection[Piecewise], share: float, room: int) -> bool:
        taken = sum(answer.room for answer in answers)
        return len(answers) >= self._most * share or taken + room > ROOM * share

    def end(self, answer: Piecewise) -> None:
        """It has gone out, or never will."""
        with self._lock:
            self._answers.discard(answer)

    def stuck(self, seconds: float) -> set[str]:
        """The addresses that have not taken a piece for so long."""
        before = time.monotonic() - seconds
        with self._lock:
            return {answer.peer for answer in self._answers if answer.handed < before}
