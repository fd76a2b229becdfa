"""Connections over which nothing moves any more.

A server that blocks in a read cannot be told to stop, and does not say which connection it reads from. The kernel does
say of each connection how long ago data came and went. One that was answered, and has been still both ways since, is of
no use to its client; dropping it ends the read. A connection with a download on it is not still, and one whose last
word was the client's waits for an answer of ours.

What is dropped is dropped for its own state, as the kernel tells it. An address alone says nothing: behind a proxy, or
a gateway that translates addresses, a client that takes nothing has the same one as another that uploads. So where an
address is asked for at all, it only narrows what is looked at.
"""

import contextlib
import math
import os
import socket
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

LAST_DATA_SENT: Final = 44
LAST_DATA_RECEIVED: Final = 52
"""Where Linux's `struct tcp_info` (linux/tcp.h) has these times, in milliseconds ago."""

UNACKED: Final = 24
BYTES_ACKED: Final = 120
NOT_SENT: Final = 144
"""… how many segments are on the way to the client, how many bytes it has taken, and how many wait to be sent."""

BYTES_RECEIVED: Final = 128
"""… and how many bytes have come."""

SEGMENTS_SENT: Final = 156
"""… and in how many segments data went."""

MIN_REQUEST_BYTES: Final = 24
"""Bytes: no request has fewer than its headers."""


def close_idle(port: int, peer: str, seconds: float) -> None:
    """Shut down connections from `peer` to `port` that were answered, and over which nothing has moved for `seconds`.

    The address only narrows the search. No transfer is in progress over such a connection: all of the last answer has
    been taken, so no download pauses there, and no byte of an upload has come since. Does nothing where the kernel does
    not tell (any but Linux).
    """
    for connection, seen in _connections(port):
        if seen.peer == peer and seen.response_sent and seen.idle >= seconds and not seen.has_unacked:
            _shutdown(connection)


def seconds_since_data(port: int, peer: str) -> float:
    """Return the seconds since the latest data from `peer` to `port` that was not answered yet.

    Of several connections it is not known which one is meant, so any that moves gives more time to all: no more than
    each could take by sending a byte now and then. Infinity where there is none, or where the kernel does not tell (any
    but Linux).
    """
    return min(
        (seen.received for _, seen in _connections(port) if seen.peer == peer and seen.awaits_response),
        default=math.inf,
    )


PausedDownloads = Callable[[Mapping[str, int]], Counter[str]]
"""See StalledResponses.drop."""


def none_paused(untaken: Mapping[str, int]) -> Counter[str]:
    """No connection may stand still for longer than any other."""
    return Counter()


class StalledResponses:
    """Connections to a port whose client takes nothing of what is on its way, each known by its socket."""

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch connections to `port`; `clock` tells seconds."""
        self._port = port
        self._clock = clock
        self._since: dict[int, tuple[int, float]] = {}

    def close_stalled(
        self, seconds: float, paused: PausedDownloads = none_paused, paused_timeout: float = math.inf
    ) -> None:
        """Shut down connections whose client has taken no byte for `seconds`, though some waited for it all the while.

        To be called more often than that. Does nothing where `close_idle` does nothing.

        Args:
            seconds: for any client.
            paused: is told how many connections of each address have bytes that their client has not taken; returns
                how many of each may stand still for longer, unless more of them do.
            paused_timeout: seconds, for those.
        """
        now, before, self._since = self._clock(), self._since, {}
        untaken, stuck, ages = Counter[str](), Counter[str](), dict[int, float]()
        for _, seen in _connections(self._port):
            if not seen.has_unacked:
                continue
            taken, since = before.get(seen.socket, (seen.acked, now))
            since = since if taken == seen.acked else now
            self._since[seen.socket] = (seen.acked, since)
            untaken[seen.peer] += 1
            if now - since >= seconds:
                stuck[seen.peer] += 1
                ages[seen.socket] = now - since
        spared = paused(untaken)
        for connection, seen in _connections(self._port) if ages else ():
            limit = paused_timeout if stuck[seen.peer] <= spared[seen.peer] else seconds
            if seen.has_unacked and ages.get(seen.socket, 0.0) >= limit:
                _shutdown(connection)


def close_unused(port: int, first_request_timeout: float, keepalive_timeout: float) -> int:
    """Shut down connections to `port` over which no word has come for so many seconds, or none since the last answer.

    Answers how many stay. Does nothing where the kernel does not tell (any but Linux).
    """
    stay = 0
    for connection, seen in _connections(port):
        if seen.idle >= (keepalive_timeout if seen.request_begun else first_request_timeout) and not (
            seen.awaits_response and seen.request_begun
        ):
            _shutdown(connection)
        else:
            stay += 1
    return stay


def _shutdown(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ConnectionInfo(NamedTuple):
    """What the kernel has seen of a connection.

    socket    the number of the socket's inode, which no other open one has
    peer      the client's address
    still     seconds since data came or went
    received  seconds since data came
    answered  whether the last word was surely ours
    asks      whether it was surely the client's: the kernel's clock has ticks of some milliseconds
    spoken    whether as much came as a request begins with
    untaken   whether bytes of ours wait for the client to take them
    taken     how many it has taken
    """

    socket: int
    peer: str
    idle: float
    received: float
    response_sent: bool
    awaits_response: bool
    request_begun: bool
    has_unacked: bool
    acked: int


def _connections(port: int) -> Iterator[tuple[socket.socket, ConnectionInfo]]:
    """Yield this process's connections to `port`, as duplicates that are closed again.

    A client may reset its connection at any moment, and then all that is asked of it raises OSError. So everything that
    a caller needs is asked here, where that only means one connection less.
    """
    for connection, number in sockets(port):
        with contextlib.suppress(OSError):
            peer = connection.getpeername()[0]
            yield connection, _inspect(connection, number, peer)


def sockets(port: int) -> Iterator[tuple[socket.socket, int]]:
    """Yield this process's sockets at `port`, as duplicates that are closed again, and the numbers of their inodes."""
    if not hasattr(socket, "TCP_INFO"):
        return
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            # First asked, then duplicated: what is no socket would leave its duplicate open.
            status = os.fstat(descriptor)
            if not stat.S_ISSOCK(status.st_mode):
                continue
            # Without a family that is given, its own is taken: the addresses of another would be cut short.
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                own = connection.getsockname()
                if isinstance(own, tuple) and own[1] == port:
                    yield connection, status.st_ino


def tcp_info(connection: socket.socket) -> bytes:
    """Raises OSError where the kernel, older than Linux 4.6, does not tell all of it."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SEGMENTS_SENT + 4)
    if len(info) < SEGMENTS_SENT + 4:
        raise OSError("TCP_INFO is short")
    return info


def _inspect(connection: socket.socket, number: int, peer: str) -> ConnectionInfo:
    info = tcp_info(connection)
    small = (LAST_DATA_SENT, LAST_DATA_RECEIVED, SEGMENTS_SENT, UNACKED, NOT_SENT)
    sent, received, pieces, unacked, not_sent = (struct.unpack_from("=I", info, at)[0] for at in small)
    count, taken = (struct.unpack_from("=Q", info, at)[0] for at in (BYTES_RECEIVED, BYTES_ACKED))
    return ConnectionInfo(
        socket=number,
        peer=peer,
        idle=min(sent, received) / 1000,
        received=received / 1000,
        response_sent=received > sent,
        awaits_response=received < sent or not pieces,
        request_begun=count >= MIN_REQUEST_BYTES,
        has_unacked=bool(unacked or not_sent),
        acked=taken,
    )
