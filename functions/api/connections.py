"""Connections over which nothing moves any more.

A server that blocks in a read cannot be told to stop, and does not say which connection it reads from. The kernel does
say of each connection how long ago data came and went. One that was answered, and has been still both ways since, is of
no use to its client; dropping it ends the read. A connection with anything else on it, a download or another stream, is
not still, and one whose last word was the client's waits for an answer of ours.
"""

import contextlib
import math
import os
import socket
import stat
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

LAST_DATA_SENT: Final = 44
LAST_DATA_RECEIVED: Final = 52
"""Where Linux's `struct tcp_info` (linux/tcp.h) has these times, in milliseconds ago."""

BYTES_RECEIVED: Final = 128
"""… and how many bytes have come."""

PIECES_SENT: Final = 156
"""… and in how many segments data went."""

FIRST_WORD: Final = 24
"""Bytes: HTTP/2 begins with so many (RFC 9113, section 3.4), and no request of HTTP/1.1 has fewer than its headers."""


def drop_still(port: int, peer: str, seconds: float) -> None:
    """Shut down this process's connections from `peer` to `port` that have been still for so many seconds.

    Does nothing where the kernel does not tell (any but Linux).
    """
    for connection, seen in _seen(port):
        if seen.peer == peer and seen.answered and seen.still >= seconds:
            _shut(connection)


def quiet(port: int, peer: str) -> float:
    """Return the seconds since the latest data from `peer` to `port` that was not answered yet.

    Infinity where there is none, or where the kernel does not tell (any but Linux).
    """
    return min((seen.received for _, seen in _seen(port) if seen.peer == peer and seen.asks), default=math.inf)


def drop_all(port: int, peer: str) -> None:
    """Shut down this process's connections from `peer` to `port`. Does nothing where `drop_still` does nothing."""
    for connection, seen in _seen(port):
        if seen.peer == peer:
            _shut(connection)


def drop_idle(port: int, unspoken: float, answered: float) -> int:
    """Shut down connections to `port` over which no word has come for so many seconds, or none since the last answer.

    Answers how many stay. Does nothing where the kernel does not tell (any but Linux).
    """
    stay = 0
    for connection, seen in _seen(port):
        if seen.still >= (answered if seen.spoken else unspoken) and not (seen.asks and seen.spoken):
            _shut(connection)
        else:
            stay += 1
    return stay


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class Seen(NamedTuple):
    """What the kernel has seen of a connection.

    peer      the client's address
    still     seconds since data came or went
    received  seconds since data came
    answered  whether the last word was surely ours
    asks      whether it was surely the client's: the kernel's clock has ticks of some milliseconds
    spoken    whether as much came as a request begins with
    """

    peer: str
    still: float
    received: float
    answered: bool
    asks: bool
    spoken: bool


def _seen(port: int) -> Iterator[tuple[socket.socket, Seen]]:
    """Yield this process's connections to `port`, as duplicates that are closed again.

    A client may reset its connection at any moment, and then all that is asked of it raises OSError. So everything that
    a caller needs is asked here, where that only means one connection less.
    """
    if not hasattr(socket, "TCP_INFO"):
        return
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            # First asked, then duplicated: what is no socket would leave its duplicate open.
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            # Without a family that is given, its own is taken: the addresses of another would be cut short.
            with socket.socket(fileno=os.dup(descriptor)) as connection:
                own = connection.getsockname()
                if isinstance(own, tuple) and own[1] == port and (peer := connection.getpeername()):
                    yield connection, _look(connection, peer[0])


def _look(connection: socket.socket, peer: str) -> Seen:
    """Raises OSError where the kernel, older than Linux 4.6, does not tell all of it."""
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, PIECES_SENT + 4)
    if len(info) < PIECES_SENT + 4:
        raise OSError("TCP_INFO is short")
    sent, received, pieces = (
        struct.unpack_from("=I", info, at)[0] for at in (LAST_DATA_SENT, LAST_DATA_RECEIVED, PIECES_SENT)
    )
    (count,) = struct.unpack_from("=Q", info, BYTES_RECEIVED)
    asks = received < sent or not pieces
    return Seen(peer, min(sent, received) / 1000, received / 1000, received > sent, asks, count >= FIRST_WORD)
