"""Answers that are not small: how many go out at a time.

A server that has a piece to send waits for its client, and a thread and some memory with it. A client can let it wait
for as long as it likes. So unauthenticated clients never have all threads with such answers, nor more memory than there
is, and one address never all of what they have; an authenticated client waits for a thread as long as it takes, since a
refusal ends a pull. An answer of which its client takes nothing is found by the kernel (connections.StalledResponses).
All threads of a server are drawn in lading.server.serve.

The kernel does not say whose it is, and granian not over which connection an answer goes. So paused downloads of
authenticated clients are counted by the address of their connection: where no more connections of an address stand
still than it has such downloads, none of them is dropped. Where more do, as behind a proxy, none can tell which one is
whose.
"""

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from threading import Lock
from typing import Final

MAX_UNSTREAMED_SIZE: Final = 32 * 1024
"""Bytes of an answer that may be handed to the server at once."""

CHUNKS_PER_RESPONSE: Final = 12
"""Of any other that is in memory: a server takes some half a dozen before the client has taken one."""

BYTES_IN_FLIGHT: Final = 2 * 1024 * 1024
"""Bytes of an answer that the server has in memory."""

MAX_ANONYMOUS_BYTES: Final = 64 * BYTES_IN_FLIGHT
"""Bytes of memory for all that go to strangers."""

MAX_ANONYMOUS_SHARE: Final = 3 / 4
"""What those have of the threads, and one address of that, and of the room."""

MAX_PAUSED_SHARE: Final = 1 / 4
"""Of the threads: so many downloads of authenticated clients may be paused. With more, each goes as any other would."""


def in_chunks(content: bytes) -> Iterator[bytes]:
    """`content`, in pieces."""
    size = len(content) // CHUNKS_PER_RESPONSE + 1
    return (content[start : start + size] for start in range(0, len(content), size))


class ResponseStream:
    """The pieces of one answer.

    client  the network that they go to: the key of shares
    peer    the address of the connection
    since   when the server took the last one, and has not come for the next, as time.monotonic() tells
    ended   whether the server has taken all, though its client may not
    """

    def __init__(self, pieces: Iterable[bytes], client: str, peer: str = "") -> None:
        """Nothing is handed out yet."""
        self.client = client
        self.peer = peer
        self.idle_since = math.inf
        self.ended = False
        self._chunks = pieces

    def __iter__(self) -> Iterator[bytes]:
        """The pieces."""
        for piece in self._chunks:
            self.idle_since = time.monotonic()
            yield piece
            self.idle_since = math.inf


class ResponseStreams:
    """All answers of a process that go out in pieces."""

    def __init__(self, threads: int) -> None:
        """For a server with so many threads."""
        self._max_anonymous = max(1.0, threads * MAX_ANONYMOUS_SHARE)
        self._max_paused = max(1.0, threads * MAX_PAUSED_SHARE)
        self._authenticated: dict[ResponseStream, None] = {}
        self._unauthenticated: dict[ResponseStream, int] = {}
        self._lock = Lock()

    def add(
        self, pieces: Iterable[bytes], client: str, bytes_in_memory: int, authenticated: bool, peer: str = ""
    ) -> ResponseStream | None:
        """Count an answer until `end`; None where there is no room for one more to an unauthenticated client.

        Args:
            pieces: of the answer.
            client: the network that it goes to (client_address).
            bytes_in_memory: bytes of it that are in memory anyway.
            authenticated: whether the client has shown who it is.
            peer: the address of the connection.
        """
        answer, room = ResponseStream(pieces, client, peer), BYTES_IN_FLIGHT + bytes_in_memory
        with self._lock:
            if authenticated:
                self._authenticated[answer] = None
                return answer
            of_one = [taken for other, taken in self._unauthenticated.items() if other.client == client]
            if self._is_full(self._unauthenticated.values(), room, 1) or self._is_full(
                of_one, room, MAX_ANONYMOUS_SHARE
            ):
                return None
            self._unauthenticated[answer] = room
        return answer

    def _is_full(self, taken: Collection[int], room: int, share: float) -> bool:
        return len(taken) >= self._max_anonymous * share or sum(taken) + room > MAX_ANONYMOUS_BYTES * share

    def remove(self, answer: ResponseStream) -> None:
        """The server has taken all of it, or it never will."""
        with self._lock:
            self._unauthenticated.pop(answer, None)
            answer.ended, answer.idle_since = True, time.monotonic()

    def paused(self, untaken: Mapping[str, int], seconds: float) -> Counter[str]:
        """Return how many downloads of authenticated clients stand still for so long, by the address of the connection.

        None where they are more than may be paused. What has ended is forgotten as soon as an address has fewer
        connections with bytes that its client has not taken (`untaken`) than downloads.
        """
        before = time.monotonic() - seconds
        with self._lock:
            room = Counter(untaken) - Counter(each.peer for each in self._authenticated if not each.ended)
            for answer in [each for each in reversed(self._authenticated) if each.ended]:
                # The latest are the most likely to be on their way.
                if room[answer.peer] > 0:
                    room[answer.peer] -= 1
                else:
                    del self._authenticated[answer]
            still = Counter(each.peer for each in self._authenticated if each.idle_since <= before)
        return still if still.total() <= self._max_paused else Counter()
