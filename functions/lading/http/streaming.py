"""Streamed responses, and the limits on how many run concurrently.

A server that has a chunk to send waits for its client, which holds a thread and some memory for as long as the client
likes. So unauthenticated clients never have all threads for streamed responses, nor more memory than
MAX_ANONYMOUS_BYTES, and one address never all of that share. An authenticated client waits for a thread as long as
necessary, since a refusal would end a pull; except for a principal whose downloads stall while threads are short
(`limit_stalled`). A response that its client does not read is found through the kernel
(tcp_info.StalledResponses). All threads of a server are drawn in lading.server.serve.

The kernel does not know the principal of a connection, and granian does not expose the connection of a response. So
paused downloads of authenticated clients are counted by the address of their connection: where no more connections of
an address stall than it has such downloads, none of them is closed. Where more do, as with a reverse proxy, the
authenticated ones among them are unknown.
"""

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from threading import Lock
from typing import Final

from lading.http.thread_budget import ThreadBudget

MAX_UNSTREAMED_SIZE: Final = 32 * 1024
"""Bytes of the largest response that is passed to the server in one piece."""

CHUNKS_PER_RESPONSE: Final = 12
"""Chunks of a larger response that is in memory: a server takes some six before the client has read one."""

BYTES_IN_FLIGHT: Final = 2 * 1024 * 1024
"""Bytes of a response that the server has in memory."""

MAX_ANONYMOUS_BYTES: Final = 64 * BYTES_IN_FLIGHT
"""Bytes of memory for all responses to unauthenticated clients."""

MAX_ANONYMOUS_SHARE: Final = 3 / 4
"""The share of the budget's threads that unauthenticated clients may have, so that some are left to uploads; also one
address's share of these threads and of MAX_ANONYMOUS_BYTES."""

MAX_PAUSED_SHARE: Final = 1 / 4
"""The share of the threads whose downloads authenticated clients may pause. With more, none is exempt from the timeout
for stalled responses."""

STALL_TIMEOUT: Final = 10.0
"""Seconds without progress after which a download has stalled, where stalled ones have MAX_STALLED_SHARE of the threads
that the budget of slow clients leaves."""

MAX_STALLED_SHARE: Final = 1 / 2

LIMIT_TIME: Final = 300.0
LIMITED_SHARE: Final = 1 / 16
"""Seconds for which a principal has no more than this share of the threads, after it had more than that with stalled
downloads when these were ended."""


def in_chunks(content: bytes) -> Iterator[bytes]:
    """Return `content` in CHUNKS_PER_RESPONSE chunks."""
    size = len(content) // CHUNKS_PER_RESPONSE + 1
    return (content[start : start + size] for start in range(0, len(content), size))


class ResponseStream:
    """The chunks of one response.

    client      the client's network, the key of shares
    principal   the authenticated client; "" where all clients are
    peer        the address of the connection
    idle_since  when the server took the last chunk without asking for the next one (time.monotonic)
    ended       whether the server has taken all chunks, though the client may not have read them
    """

    def __init__(self, chunks: Iterable[bytes], client: str, peer: str, principal: str) -> None:
        """Create a stream of which no chunk has been taken."""
        self.client = client
        self.principal = principal
        self.peer = peer
        self.idle_since = math.inf
        self.ended = False
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        """Yield the chunks."""
        for chunk in self._chunks:
            self.idle_since = time.monotonic()
            yield chunk
            self.idle_since = math.inf


class ResponseStreams:
    """All streamed responses of a process. Thread-safe."""

    def __init__(self, threads: int, budget: ThreadBudget) -> None:
        """Create the limits of a server with so many threads; those of unauthenticated clients are in `budget`."""
        self._threads = threads
        self._budget = budget
        self._max_anonymous = max(1.0, budget.total * MAX_ANONYMOUS_SHARE)
        self._max_paused = max(1.0, threads * MAX_PAUSED_SHARE)
        self._authenticated: dict[ResponseStream, None] = {}
        self._unauthenticated: dict[ResponseStream, int] = {}
        self._max_limited = max(1.0, threads * LIMITED_SHARE)
        self._limited_until: dict[str, float] = {}
        self._lock = Lock()

    def add(
        self, chunks: Iterable[bytes], client: str, bytes_in_memory: int, principal: str | None, peer: str = ""
    ) -> ResponseStream | None:
        """Count a response until `remove`.

        Args:
            chunks: the content of the response.
            client: the client's network (client_address).
            bytes_in_memory: bytes of the content that are in memory in any case.
            principal: the authenticated client, or None for an unauthenticated one.
            peer: the address of the connection.

        Returns:
            The stream, or None where the limits for unauthenticated clients, or for this principal, are reached.
        """
        stream, size = ResponseStream(chunks, client, peer, principal or ""), BYTES_IN_FLIGHT + bytes_in_memory
        with self._lock:
            if principal is not None:
                if self._is_limited(principal):
                    return None
                self._authenticated[stream] = None
                return stream
            same_client = [held for other, held in self._unauthenticated.items() if other.client == client]
            if self._is_full(self._unauthenticated.values(), size, 1) or self._is_full(
                same_client, size, MAX_ANONYMOUS_SHARE
            ):
                return None
            if not self._budget.acquire(int(self._budget.total * (1 - MAX_ANONYMOUS_SHARE))):
                return None
            self._unauthenticated[stream] = size
        return stream

    def _is_limited(self, principal: str) -> bool:
        """Return whether a principal has all the downloads that it may have while it is limited."""
        if self._limited_until.get(principal, 0.0) <= time.monotonic():
            return False
        running = sum(not each.ended for each in self._authenticated if each.principal == principal)
        return running >= self._max_limited

    def limit_stalled(self, unread: Mapping[str, int]) -> bool:
        """Return whether stalled downloads have so many threads that they are to be ended.

        Each principal with more of them than LIMITED_SHARE is limited for a while: it could take all threads again.

        Args:
            unread: the number of connections whose client has acknowledged nothing for STALL_TIMEOUT, by address. The
                server takes chunks in bursts, as the kernel's buffer drains: twenty seconds apart for a client that
                reads 50 KB a second. So a download is stalled only if both stand still.
        """
        now, unread, stalled = time.monotonic(), Counter(unread), Counter[str]()
        with self._lock:
            # The longest without progress are the most likely to be those that the kernel counts.
            for stream in sorted(self._authenticated, key=lambda each: each.idle_since):
                if stream.idle_since <= now - STALL_TIMEOUT and not stream.ended and unread[stream.peer] > 0:
                    unread[stream.peer] -= 1
                    stalled[stream.principal] += 1
            if stalled.total() < max(1.0, (self._threads - self._budget.held) * MAX_STALLED_SHARE):
                return False
            # All clients of a registry without authentication are no principal: some would be refused for others.
            limited = {name: now + LIMIT_TIME for name, count in stalled.items() if name and count > self._max_limited}
            self._limited_until = {name: until for name, until in self._limited_until.items() if until > now} | limited
        return True

    def _is_full(self, held: Collection[int], size: int, share: float) -> bool:
        return len(held) >= self._max_anonymous * share or sum(held) + size > MAX_ANONYMOUS_BYTES * share

    def remove(self, stream: ResponseStream) -> None:
        """Record that the server has taken all of a response, or never will."""
        with self._lock:
            if self._unauthenticated.pop(stream, None) is not None:
                self._budget.release()
            stream.ended, stream.idle_since = True, time.monotonic()

    def paused(self, unacked: Mapping[str, int], seconds: float) -> Counter[str]:
        """Return how many downloads of authenticated clients are paused, by the address of the connection.

        A stream that has ended is forgotten once its address has fewer connections with pending bytes than downloads.

        Args:
            unacked: the number of connections with bytes that the client has not acknowledged, by address.
            seconds: the time without progress from which on a download counts as paused.

        Returns:
            The counts; empty where more than MAX_PAUSED_SHARE allows are paused.
        """
        before = time.monotonic() - seconds
        with self._lock:
            surplus = Counter(unacked) - Counter(each.peer for each in self._authenticated if not each.ended)
            for stream in [each for each in reversed(self._authenticated) if each.ended]:
                # The latest are the most likely to be still in transit.
                if surplus[stream.peer] > 0:
                    surplus[stream.peer] -= 1
                else:
                    del self._authenticated[stream]
            paused = Counter(each.peer for each in self._authenticated if each.idle_since <= before)
        return paused if paused.total() <= self._max_paused else Counter()
