"""The kernel's view of connections (`struct tcp_info`), and closing those that are idle.

A server that blocks in a read cannot be interrupted, and does not expose the connection from which it reads. The kernel
reports for each connection how long ago data was received and sent. A connection whose last response was sent, and
over which no data has moved in either direction since, is of no use to its client; closing it ends the read. A
connection with a running download is not idle, and one that last received data is waiting for a response.

A connection is closed because of its own state, as the kernel reports it. An address alone is no criterion: with a
reverse proxy, or network address translation, a client that reads nothing shares its address with another that uploads.
So an address only narrows the search.
"""

import contextlib
import errno
import math
import os
import socket
import stat
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

ESTABLISHED: Final = 1
LISTENING: Final = 10
"""States of TCP (linux/tcp_states.h): the first byte of `struct tcp_info`."""

LAST_DATA_SENT: Final = 44
LAST_DATA_RECEIVED: Final = 52
"""Byte offsets in Linux's `struct tcp_info` (linux/tcp.h): milliseconds since data was last sent, and received."""

UNACKED: Final = 24
BYTES_ACKED: Final = 120
NOT_SENT: Final = 144
"""Offsets: segments in flight to the client, bytes that it has acknowledged, and bytes that wait to be sent."""

BYTES_RECEIVED: Final = 128
"""Offset: bytes received."""

SEGMENTS_SENT: Final = 156
"""Offset: segments sent that carried data."""

MIN_REQUEST_BYTES: Final = 24
"""Bytes of the shortest request."""


def close_idle(port: int, peer: str, seconds: float) -> None:
    """Shut down connections from `peer` to `port` that have sent their response and been idle for `seconds`.

    The address only narrows the search. No transfer is in progress over such a connection: the client has acknowledged
    all of the last response, so no download is paused there, and no byte of an upload has arrived since. No-op where
    the kernel does not report this (other than Linux).
    """
    for connection, info in _connections(port):
        if info.peer == peer and info.response_sent and info.idle >= seconds and not info.has_unacked:
            _shutdown(connection)


def seconds_since_data(port: int, peer: str) -> float:
    """Return the seconds since the latest data from `peer` to `port` on a connection that awaits its response.

    Which of several connections is meant is unknown, so the most recent data extends the timeout of all: no more than
    each client could by sending a byte now and then. Returns infinity where there is none, or where the kernel does not
    report this (other than Linux).
    """
    return min(
        (info.received for _, info in _connections(port) if info.peer == peer and info.awaits_response),
        default=math.inf,
    )


def count_awaiting(port: int) -> Counter[str] | None:
    """Return how many open connections to `port` may await a response, by address.

    Those that certainly do not are left out: their last data was sent, or the client has closed its side.

    Returns:
        The counts, or None where no socket of this process listens on the port, or the kernel does not report this
        (other than Linux).
    """
    counts, listens = Counter[str](), False
    for connection, _ in sockets(port):
        # A client may reset its connection at any moment.
        with contextlib.suppress(OSError):
            info = tcp_info(connection)
            listens = listens or info[0] == LISTENING
            sent, received = (struct.unpack_from("=I", info, at)[0] for at in (LAST_DATA_SENT, LAST_DATA_RECEIVED))
            if info[0] == ESTABLISHED and received <= sent:
                counts[connection.getpeername()[0]] += 1
    return counts if listens else None


PausedDownloads = Callable[[Mapping[str, int]], Counter[str]]
"""The type of the parameter `paused` of StalledResponses.close_stalled."""


def none_paused(unacked: Mapping[str, int]) -> Counter[str]:
    """Return no paused downloads: the same timeout applies to all connections."""
    return Counter()


class StalledResponses:
    """Connections to a port whose clients read nothing of their responses, identified by their sockets."""

    def __init__(self, port: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Watch connections to `port`; `clock` returns seconds."""
        self._port = port
        self._clock = clock
        self._progress: dict[int, tuple[int, float]] = {}
        self._stalled_peers: list[tuple[str, float]] = []

    def count(self, seconds: float) -> Counter[str]:
        """Return how many connections had stalled for `seconds` when close_stalled was last called, by address."""
        return Counter(peer for peer, age in self._stalled_peers if age >= seconds)

    def close_stalled(
        self, seconds: float, paused: PausedDownloads = none_paused, paused_timeout: float = math.inf
    ) -> None:
        """Shut down connections whose client has acknowledged no byte for `seconds`, while some were pending.

        Call it at shorter intervals than that. No-op where `close_idle` is one.

        Args:
            seconds: the timeout for all clients.
            paused: receives the number of connections with pending bytes by address; returns how many of each address
                may stall for longer. Where more of an address stall, it applies to none of them.
            paused_timeout: the timeout for those, in seconds.
        """
        now, before, self._progress, self._stalled_peers = self._clock(), self._progress, {}, []
        unacked, stalled, ages = Counter[str](), Counter[str](), dict[int, float]()
        for _, info in _connections(self._port):
            if not info.has_unacked:
                continue
            acked, since = before.get(info.socket, (info.acked, now))
            since = since if acked == info.acked else now
            self._progress[info.socket] = (info.acked, since)
            self._stalled_peers.append((info.peer, now - since))
            unacked[info.peer] += 1
            if now - since >= seconds:
                stalled[info.peer] += 1
                ages[info.socket] = now - since
        allowed = paused(unacked)
        for connection, info in _connections(self._port) if ages else ():
            limit = paused_timeout if stalled[info.peer] <= allowed[info.peer] else seconds
            if info.has_unacked and ages.get(info.socket, 0.0) >= limit:
                _shutdown(connection)


def close_unused(port: int, first_request_timeout: float, keepalive_timeout: float) -> int:
    """Shut down connections to `port` without a request for too long. No-op where `close_idle` is one.

    Args:
        port: the server's port.
        first_request_timeout: seconds for the first request of a connection to begin.
        keepalive_timeout: seconds since the last response for the next request to begin.

    Returns:
        The number of connections that remain.
    """
    remaining = 0
    for connection, info in _connections(port):
        if info.idle >= (keepalive_timeout if info.request_begun else first_request_timeout) and not (
            info.awaits_response and info.request_begun
        ):
            _shutdown(connection)
        else:
            remaining += 1
    return remaining


def _shutdown(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class ConnectionInfo(NamedTuple):
    """The kernel's information on a connection.

    socket           the inode number of the socket, unique among open ones
    peer             the client's address
    idle             seconds since data was received or sent
    received         seconds since data was received
    response_sent    whether data was certainly sent after the last was received
    awaits_response  whether data was certainly received after the last was sent; neither holds within one tick of the
                     kernel's clock, some milliseconds
    request_begun    whether at least MIN_REQUEST_BYTES were received
    has_unacked      whether sent or queued bytes wait for the client's acknowledgement
    acked            bytes that the client has acknowledged
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

    A client may reset its connection at any moment, and then every query raises OSError. So all queries are made here,
    where an error only skips that connection.
    """
    for connection, number in sockets(port):
        with contextlib.suppress(OSError):
            peer = connection.getpeername()[0]
            yield connection, _inspect(connection, number, peer)


def sockets(port: int) -> Iterator[tuple[socket.socket, int]]:
    """Yield this process's sockets at `port`, as duplicates that are closed again, and their inode numbers."""
    for descriptor, number in socket_descriptors():
        with contextlib.suppress(OSError), duplicate(descriptor, number) as connection:
            if port_of(connection) == port:
                yield connection, number


def socket_descriptors() -> Iterator[tuple[int, int]]:
    """Yield the descriptors of this process's sockets, and their inode numbers. Any may be closed meanwhile."""
    if not hasattr(socket, "TCP_INFO"):
        return
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            if stat.S_ISSOCK(status.st_mode):
                yield descriptor, status.st_ino


@contextlib.contextmanager
def duplicate(descriptor: int, number: int) -> Iterator[socket.socket]:
    """Yield a duplicate of a socket, and close it. Raises OSError where the descriptor is no longer that inode's."""
    copy = os.dup(descriptor)
    try:
        if os.fstat(copy).st_ino != number:
            raise OSError(errno.EBADF, "the descriptor was reused")
        # No family is given, so that the socket's own is detected: with another one addresses would be truncated.
        connection = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with connection:
        yield connection


def port_of(connection: socket.socket) -> int:
    """Return this process's port of a socket, or 0 where it has none."""
    own = connection.getsockname()
    return int(own[1]) if isinstance(own, tuple) else 0


def tcp_info(connection: socket.socket) -> bytes:
    """Return a `struct tcp_info`. Raises OSError where the kernel does not fill all of it (before Linux 4.6)."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, SEGMENTS_SENT + 4)
    if len(info) < SEGMENTS_SENT + 4:
        raise OSError("TCP_INFO is short")
    return info


def _inspect(connection: socket.socket, number: int, peer: str) -> ConnectionInfo:
    info = tcp_info(connection)
    offsets = (LAST_DATA_SENT, LAST_DATA_RECEIVED, SEGMENTS_SENT, UNACKED, NOT_SENT)
    sent, received, segments_sent, unacked, not_sent = (struct.unpack_from("=I", info, at)[0] for at in offsets)
    bytes_received, acked = (struct.unpack_from("=Q", info, at)[0] for at in (BYTES_RECEIVED, BYTES_ACKED))
    return ConnectionInfo(
        socket=number,
        peer=peer,
        idle=min(sent, received) / 1000,
        received=received / 1000,
        response_sent=received > sent,
        awaits_response=received < sent or not segments_sent,
        request_begun=bytes_received >= MIN_REQUEST_BYTES,
        has_unacked=bool(unacked or not_sent),
        acked=acked,
    )
