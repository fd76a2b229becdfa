"""Connections over which nothing moves any more.

A server that blocks in a read cannot be told to stop, and does not say which connection it reads from. The kernel does
say of each connection how long ago data came and went. One that was answered, and has been still both ways since, is of
no use to its client; dropping it ends the read. A connection with anything else on it, a download or another stream, is
not still, and one whose last word was the client's waits for an answer of ours.
"""

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator
from typing import Final

LAST_DATA_SENT: Final = 44
LAST_DATA_RECEIVED: Final = 52
"""Where Linux's `struct tcp_info` (linux/tcp.h) has these times, in milliseconds ago."""


def drop_still(port: int, peer: str, seconds: float) -> None:
    """Shut down this process's connections from `peer` to `port` that have been still for so many seconds.

    Does nothing where the kernel does not tell (any but Linux).
    """
    if not hasattr(socket, "TCP_INFO"):
        return
    for connection in _connections(port, peer):
        with contextlib.suppress(OSError):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
            sent, received = (struct.unpack_from("=I", info, at)[0] for at in (LAST_DATA_SENT, LAST_DATA_RECEIVED))
            if received > sent >= seconds * 1000:
                connection.shutdown(socket.SHUT_RDWR)


def _connections(port: int, peer: str) -> Iterator[socket.socket]:
    """The open connections from `peer` to `port`, as duplicates that are closed again."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):
            # First asked, then duplicated: what is no socket would leave its duplicate open.
            if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                continue
            with socket.fromfd(descriptor, socket.AF_INET, socket.SOCK_STREAM) as connection:
                own, other = connection.getsockname(), connection.getpeername()
                if isinstance(own, tuple) and (own[1], other[0]) == (port, peer):
                    yield connection
