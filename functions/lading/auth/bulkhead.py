"""Bulkhead: bounds the threads that run, or wait for, slow work (pattern from Nygard, "Release It!").

Unauthenticated clients may cause any number of password checks or queries to Google. They must not occupy all threads
of the server, nor all slots of the bulkhead.

    known callers ──▶ lane with its own queues ──┐
                                                 ├──▶ slots: max_concurrent, `reserved` of them for known callers only
    other callers ──▶ lane with its own queues ──┘
                      one queue per key, round robin
"""

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

from lading.leader import step_down
from lading.registry.errors import UNAVAILABLE, RegistryError

WAIT_TIMEOUT: Final = 5.0
"""Default timeout in seconds of the wait for a slot."""


class TicketState(Enum):
    """State of a ticket."""

    WAITING = "waiting"
    ADMITTED = "admitted"
    REFUSED = "refused"


class Ticket:
    """A request for a slot.

    key        owner of the queue that it waits in, and of the share that it counts against
    known      whether it is in the lane of known callers
    principal  owner of a second share that it counts against, or ""
    state      changed by the bulkhead only, under its lock
    """

    __slots__ = ("_decided", "key", "known", "principal", "state")

    def __init__(self, key: str, known: bool, principal: str = "") -> None:
        """Create a waiting ticket."""
        self.key = key
        self.known = known
        self.principal = principal
        self.state = TicketState.WAITING
        self._decided = threading.Event()

    @property
    def shares(self) -> set[tuple[str, str]]:
        """The shares that it counts against while it is admitted."""
        return {(kind, name) for kind, name in (("key", self.key), ("principal", self.principal)) if name}

    def decide(self, state: TicketState) -> None:
        """Admit or refuse the ticket, and wake its waiting thread."""
        self.state = state
        self._decided.set()

    def wait(self, seconds: float) -> bool:
        """Wait up to `seconds`; return whether the ticket was admitted."""
        self._decided.wait(seconds)
        return self.state is TicketState.ADMITTED


class Bulkhead:
    """Semaphore with bounded, fair queues. Thread-safe.

    A key is a client's network, or a principal. One key gets at most half of the slots of its lane (at least one) and
    at most half of the queue, and keys are served round robin. If the queue is full, the newest ticket of the key with
    the most tickets is refused in favour of a key with fewer.

    Known callers (recent logins) have a lane with priority, a queue of its own, and `reserved` slots, so other callers
    never cause them to be refused.

    Callers without a key ("") have no share, which suits callers that all wait for the same result. A principal that is
    known in addition to the network has a share of its own, so neither many addresses nor many names gain anything.
    """

    def __init__(
        self,
        max_concurrent: int,
        max_waiting: int,
        wait_timeout: float = WAIT_TIMEOUT,
        reserved: int = 0,
        principal_share: int | None = None,
    ) -> None:
        """Create the bulkhead.

        Args:
            max_concurrent: slots.
            max_waiting: tickets that may wait in each lane.
            wait_timeout: seconds that a ticket may wait.
            reserved: slots for known callers only, fewer than `max_concurrent`.
            principal_share: slots of its lane that one principal may hold; by default half of them, as for a key.
        """
        self._lock = threading.Lock()
        self._wait_timeout = wait_timeout
        self._max_concurrent = max_concurrent
        self._known = _Lane(max_concurrent, max_waiting, principal_share)
        self._others = _Lane(max_concurrent - reserved, max_waiting, principal_share)

    @contextmanager
    def slot(self, key: str = "", known: bool = False, principal: str = "") -> Iterator[None]:
        """Acquire a slot, and hold it until the block ends.

        Raises UNAVAILABLE (503 with Retry-After) if too many callers wait, or on timeout.
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
        """Return an admitted or a waiting ticket. Raises UNAVAILABLE if too many callers wait.

        The caller must `release` the ticket in either case.
        """
        ticket = Ticket(key, known, principal)
        with self._lock:
            lane = self._lane(ticket)
            lane.add(ticket)
            self._admit()
            if ticket.state is TicketState.WAITING:
                lane.enforce_limits(key)
        if ticket.state is TicketState.REFUSED:
            raise RegistryError(UNAVAILABLE)
        return ticket

    def release(self, ticket: Ticket) -> None:
        """Release the slot, or stop waiting for one."""
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
    """Tickets of one priority: the running ones, and a queue per key. The queues are in round-robin order."""

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

    def enforce_limits(self, key: str) -> None:
        """Refuse one ticket if the addition of one for `key` exceeds a limit.

        That is the newest ticket of `key` if its share is exceeded, else the newest of the key with the most tickets
        (`key` itself on a tie).
        """
        if key and len(self._waiting[key]) > max(1, self._max_waiting // 2):
            longest = key
        elif sum(map(len, self._waiting.values())) > self._max_waiting:
            longest = max([key, *self._waiting], key=lambda each: len(self._waiting[each]))
        else:
            return
        ticket = self._waiting[longest][-1]
        self.remove(ticket)
        ticket.decide(TicketState.REFUSED)

    def admit_next(self) -> bool:
        """Admit the next ticket in round-robin order; return whether there was one within its shares."""
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
        """Remove a running or waiting ticket."""
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
