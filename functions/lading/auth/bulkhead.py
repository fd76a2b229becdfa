"""Bulkhead: bounds how many threads are busy with, or wait for, work that is slow on purpose or by nature.

Unauthenticated clients may ask for any number of passwords to be checked, or questions to be put to Google. They must
hold neither all threads of the server nor all places of the bulkhead. (The pattern: Nygard, "Release It!".)

    known callers ──▶ lane, own waiting room ──┐
                                               ├──▶ places: max_concurrent, `reserved` of them for known callers alone
    other callers ──▶ lane, waiting room ──────┘
                      a queue per key, round robin
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.server.leader import step_down

WAIT_TIMEOUT: Final = 5.0
"""Seconds that a caller waits for a place, unless the bulkhead says otherwise."""


class TicketState(Enum):
    """Where a ticket is."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    REFUSED = "refused"


class Ticket:
    """A caller's request for a place.

    key        whose share it counts in, and in whose queue it waits
    known      whether it is in the lane of known callers
    principal  whose share it counts in as well, where that is not ""
    state      changed by the bulkhead alone, under its lock
    """

    __slots__ = ("_decided", "key", "known", "principal", "state")

    def __init__(self, key: str, known: bool, principal: str = "") -> None:
        """Begin to wait."""
        self.key = key
        self.known = known
        self.principal = principal
        self.state = TicketState.WAITING
        self._decided = threading.Event()

    @property
    def shares(self) -> set[tuple[str, str]]:
        """The shares that it counts in while it is admitted."""
        return {(kind, name) for kind, name in (("key", self.key), ("principal", self.principal)) if name}

    def decide(self, state: TicketState) -> None:
        """Admit or refuse the ticket, and wake the thread that waits with it."""
        self.state = state
        self._decided.set()

    def wait(self, seconds: float) -> bool:
        """Return whether the ticket was admitted within so many seconds."""
        self._decided.wait(seconds)
        return self.state is TicketState.ADMITTED


class Bulkhead:
    """Places for slow work, shared fairly between keys. Any thread may use it.

    A key is a client's network, or a principal. One key takes at most half of the places of its lane (at least one) and
    at most half of the waiting room, and keys take turns (round robin). Where the waiting room is full, the newest
    ticket of the key with most of them is refused in favour of a key that has fewer.

    Known callers (who logged in lately) have the lane that is served first, a waiting room of their own, and
    `reserved` places: other callers never make them be refused.

    Callers without a key ("") have no share: right where all of them wait for one and the same thing. Where a caller's
    principal is known beside its network, it has a share of its own: neither many addresses nor many names help.
    """

    def __init__(
        self,
        max_concurrent: int,
        max_waiting: int,
        wait_timeout: float = WAIT_TIMEOUT,
        reserved: int = 0,
        principal_share: int | None = None,
    ) -> None:
        """Let `max_concurrent` go on at a time and, of each lane, `max_waiting` more wait for `wait_timeout` seconds.

        `reserved` of the places, fewer than all, are for known callers alone. `principal_share` of its lane's places
        are the most that one principal takes: half of them, as a key, unless it is given.
        """
        self._lock = threading.Lock()
        self._wait_timeout = wait_timeout
        self._max_concurrent = max_concurrent
        self._known = _Lane(max_concurrent, max_waiting, principal_share)
        self._others = _Lane(max_concurrent - reserved, max_waiting, principal_share)

    @contextmanager
    def slot(self, key: str = "", known: bool = False, principal: str = "") -> Iterator[None]:
        """Wait for a place, and hold it until the block ends.

        Raises UNAVAILABLE (503 with Retry-After) where too many wait, or none becomes free in time.
        """
        step_down()
        ticket = self.request(key, known, principal)
        try:
            if not ticket.wait(self._wait_timeout):
                raise RegistryError(UNAVAILABLE)
            yield
        finally:
            self.release(ticket)

    def request(self, key: str, known: bool, principal: str = "") -> Ticket:
        """Return a ticket for a place: admitted already, or waiting. Raises UNAVAILABLE where too many wait.

        The caller must `release` it, whatever becomes of it.
        """
        ticket = Ticket(key, known, principal)
        with self._lock:
            lane = self._lane(ticket)
            lane.add(ticket)
            self._admit()
            if ticket.state is TicketState.WAITING:
                lane.keep_bounds(key)
        if ticket.state is TicketState.REFUSED:
            raise RegistryError(UNAVAILABLE)
        return ticket

    def release(self, ticket: Ticket) -> None:
        """Give a place back, or stop waiting for one."""
        with self._lock:
            self._lane(ticket).remove(ticket)
            self._admit()

    def _lane(self, ticket: Ticket) -> "_Lane":
        return self._known if ticket.known else self._others

    def _admit(self) -> None:
        while self._known.running + self._others.running < self._max_concurrent:
            if not (self._known.admit_next() or self._others.admit_next()):
                return


class _Lane:
    """The callers of one priority: who runs, and who waits, by key. Its keys are in the order of their turns."""

    def __init__(self, max_running: int, max_waiting: int, principal_share: int | None) -> None:
        self.running = 0
        self._max_running = max_running
        self._max_waiting = max_waiting
        key_share = max(1, max_running // 2)
        self._shares = {"key": key_share, "principal": principal_share or key_share}
        self._running_of: Counter[tuple[str, str]] = Counter()
        self._waiting: OrderedDict[str, deque[Ticket]] = OrderedDict()

    def add(self, ticket: Ticket) -> None:
        self._waiting.setdefault(ticket.key, deque()).append(ticket)

    def keep_bounds(self, key: str) -> None:
        """Refuse one ticket where, after one more of `key`, too many wait.

        It is the newest of `key` where that has more than its share, else of the key with most of them: of `key` itself
        unless another has more.
        """
        if key and len(self._waiting[key]) > max(1, self._max_waiting // 2):
            loser = key
        elif sum(map(len, self._waiting.values())) > self._max_waiting:
            loser = max([key, *self._waiting], key=lambda each: len(self._waiting[each]))
        else:
            return
        ticket = self._waiting[loser][-1]
        self.remove(ticket)
        ticket.decide(TicketState.REFUSED)

    def admit_next(self) -> bool:
        """Admit the ticket whose turn it is; return whether there was one."""
        if self.running >= self._max_running:
            return False
        for key, tickets in self._waiting.items():
            ticket = next((each for each in tickets if self._is_within_shares(each)), None)
            if ticket is not None:
                self.remove(ticket)
                if key in self._waiting:
                    self._waiting.move_to_end(key)
                self.running += 1
                self._running_of.update(ticket.shares)
                ticket.decide(TicketState.ADMITTED)
                return True
        return False

    def _is_within_shares(self, ticket: Ticket) -> bool:
        return all(self._running_of[share] < self._shares[share[0]] for share in ticket.shares)

    def remove(self, ticket: Ticket) -> None:
        """Take a ticket out, whether it runs or waits."""
        if ticket.state is TicketState.ADMITTED:
            self.running -= 1
            for share in ticket.shares:
                self._running_of[share] -= 1
                if not self._running_of[share]:
                    del self._running_of[share]
        elif ticket.state is TicketState.WAITING:
            tickets = self._waiting[ticket.key]
            tickets.remove(ticket)
            if not tickets:
                del self._waiting[ticket.key]
