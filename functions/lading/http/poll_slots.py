"""Semaphores for requests that wait for events: how many threads they may hold, in total and for one client.

Each waiting request holds a thread for as long as MAX_WAIT seconds. So all of them together have a share of the budget
of slow clients, unauthenticated ones half of that, and no client more than two. A request that gets no slot is refused
at once, since waiting would hold a thread as well.

A server does not report that the client of a request that it has not responded to has disconnected, but the kernel
knows. Where an address has fewer connections that await a response than requests that wait, the oldest of these are
ended: which of them have lost their clients is unknown, and a client whose request is ended early gets an empty page,
and sends the next one.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from lading.http.tcp_info import count_awaiting
from lading.http.thread_budget import ThreadBudget

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

MAX_WAIT: Final = 30
"""Seconds for which a request may wait: reverse proxies end a request without a response after 60."""

MAX_SHARE: Final = 1 / 3
"""The share of the budget of slow clients that waiting requests may have."""

MAX_ANONYMOUS_SHARE: Final = 1 / 2
"""The share of these slots that unauthenticated clients may have."""

MAX_PER_CLIENT: Final = 2

CHECK_INTERVAL: Final = 2.0
"""Seconds between two counts of the connections, as in connection_sweeper; and within which a wait ends."""


class Poll:
    """A request that waits.

    client     the principal, or the network of an unauthenticated client
    anonymous  whether the client is not authenticated
    peer       the address of its connection
    port       the server's port
    ended      whether it should wait no longer
    """

    def __init__(self, client: str, anonymous: bool, environ: "WSGIEnvironment") -> None:
        """Describe the request with this WSGI environment."""
        self.client = client
        self.anonymous = anonymous
        self.peer = str(environ.get("REMOTE_ADDR") or "")
        self.port = int(environ.get("SERVER_PORT") or 0)
        self.ended = False


class PollSlots:
    """The slots of one server. Thread-safe.

    interval  seconds between two reads of the store for all waiting requests
    """

    def __init__(
        self,
        budget: ThreadBudget,
        interval: float,
        count: Callable[[int], Counter[str] | None] = count_awaiting,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create slots, each for a thread of `budget`; `count` is tcp_info.count_awaiting."""
        self.interval = interval
        self._budget = budget
        self._max = max(1, int(budget.total * MAX_SHARE))
        self._max_anonymous = max(1, int(self._max * MAX_ANONYMOUS_SHARE))
        self._count = count
        self._clock = clock
        self._waiting: dict[Poll, None] = {}
        self._checked_at = 0.0
        self._closed = False
        self._lock = Lock()

    @contextmanager
    def hold(self, poll: Poll) -> Iterator[bool]:
        """Hold a slot during the block, which receives whether there was one."""
        acquired = self._acquire(poll)
        try:
            yield acquired
        finally:
            if acquired:
                with self._lock:
                    del self._waiting[poll]
                self._budget.release()

    def close(self) -> None:
        """End all waiting requests, within CHECK_INTERVAL: the server shuts down. Called in a signal handler."""
        self._closed = True

    def goes_on(self, poll: Poll) -> bool:
        """Return whether a request should continue to wait. Looks for disconnected clients at intervals."""
        with self._lock:
            is_due = self._clock() >= self._checked_at + CHECK_INTERVAL
            if is_due:
                self._checked_at = self._clock()
            waiting = list(self._waiting)
        if is_due:
            self._end_abandoned(waiting)
        return not (poll.ended or self._closed)

    def _acquire(self, poll: Poll) -> bool:
        with self._lock:
            same = sum((each.anonymous, each.client) == (poll.anonymous, poll.client) for each in self._waiting)
            anonymous = sum(each.anonymous for each in self._waiting)
            if self._closed or same >= MAX_PER_CLIENT or len(self._waiting) >= self._max:
                return False
            if poll.anonymous and anonymous >= self._max_anonymous:
                return False
            if not self._budget.acquire():
                return False
            self._waiting[poll] = None
            return True

    def _end_abandoned(self, waiting: list[Poll]) -> None:
        """End as many of these requests of each address as it has too few connections for, the oldest ones.

        The requests were listed before the connections are counted, so the connection of each is counted.
        """
        for port in {each.port for each in waiting}:
            connections = self._count(port)
            if connections is None:
                continue
            for peer in {each.peer for each in waiting if each.peer}:
                polls = [each for each in waiting if each.port == port and each.peer == peer]
                for poll in polls[: max(0, len(polls) - connections[peer])]:
                    poll.ended = True
