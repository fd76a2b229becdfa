"""Answers that are not small: how many go out at a time.

A server that has a piece to send waits for its client, and a thread and some memory with it. A client can let it wait
for as long as it likes. So unauthenticated clients never have all threads with such answers, nor more memory than there
is, and one address never all of what they have; an authenticated client waits for a thread as long as it takes, since a
refusal ends a pull. An answer of which its client takes nothing is found by the kernel (connections.UntakenAnswers).
"""

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
"""Bytes of memory for all that go to strangers."""

SHARE: Final = 3 / 4
"""What those have of the threads, and one address of that, and of the room."""


def in_pieces(content: bytes) -> Iterator[bytes]:
    """`content`, in pieces."""
    size = len(content) // PIECES + 1
    return (content[start : start + size] for start in range(0, len(content), size))


class Piecewise:
    """The pieces of one answer.

    client  the network that they go to: the key of shares
    """

    def __init__(self, pieces: Iterable[bytes], client: str) -> None:
        """Nothing is handed out yet."""
        self.client = client
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        return iter(self._pieces)


class Outgoing:
    """All answers of a process that go out in pieces."""

    def __init__(self, threads: int) -> None:
        """For a server with so many threads."""
        self._most = max(1.0, threads * SHARE)
        self._unauthenticated: dict[Piecewise, int] = {}
        self._lock = Lock()

    def begin(self, pieces: Iterable[bytes], client: str, held: int, known: bool) -> Piecewise | None:
        """Count an answer until `end`; None where there is no room for one more to an unauthenticated client.

        Args:
            pieces: of the answer.
            client: the network that it goes to (client_address).
            held: bytes of it that are in memory anyway.
            known: whether the client has shown who it is.
        """
        answer, room = Piecewise(pieces, client), ON_THE_WAY + held
        if known:
            return answer
        with self._lock:
            of_one = [taken for other, taken in self._unauthenticated.items() if other.client == client]
            if self._full(self._unauthenticated.values(), room, 1) or self._full(of_one, room, SHARE):
                return None
            self._unauthenticated[answer] = room
        return answer

    def _full(self, taken: Collection[int], room: int, share: float) -> bool:
        return len(taken) >= self._most * share or sum(taken) + room > ROOM * share

    def end(self, answer: Piecewise) -> None:
        """It has gone out, or never will."""
        with self._lock:
            self._unauthenticated.pop(answer, None)
