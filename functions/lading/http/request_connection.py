"""Whether the connection of a request is still open at the end of its body.

To a WSGI application under granian a chunked body that is cut looks like one that ended: the reader takes an error for
an empty chunk (2.8.7). Nor does granian say over which connection a request came. But the kernel knows that one has
ended before the server reads the end. So a body that ends while its connection is open came whole. Nobody loses by
that: hyper sends no answer to a client that ends its side of the connection after a whole request.

Behind Envoy only parts of uploads come without a length: what no digest is checked against is held there until it is
whole (envoy_config).

Over TLS the end is a message of its own (close_notify), which the kernel does not know; clients end the connection with
the next packet, so there is a second look after TLS_GRACE.

Not seen, and granian gives no way (2.8.7): a TLS client that leaves its connection open after close_notify, and a body
with a malformed chunk. For both, hyper hands over an error that granian's reader turns into no bytes. Tried: `read(n)`,
`readline` and iteration end as at a last chunk. `read()` returns nothing at all after an error, but takes a body of any
size into memory first. The kernel counts bytes with their framing, which may be padded. That hyper stops to read such a
connection is not to be seen from outside, and granian's logger says nothing. So what came before a malformed chunk may
be taken for all, as far as no digest is checked: parts of uploads, manifests by tag, forms.
"""

import contextlib
import struct
import time
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.http.tcp_info import BYTES_RECEIVED, sockets, tcp_info

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

ESTABLISHED: Final = 1
LISTENING: Final = 10
"""States of TCP (linux/tcp_states.h): the first byte of `struct tcp_info`."""

TLS_GRACE: Final = 0.02
"""Seconds between a TLS client's close_notify and the end of its connection, at most."""


class ConnectionState(Enum):
    """What is known of the connection of a request."""

    OPEN = "open"
    CLOSED = "closed or reset"
    AMBIGUOUS = "one of several, some of which are open"
    UNKNOWN = "the kernel does not tell, or it is not TCP"


class RequestConnection:
    """The connection of a request, as one of the candidates at the time when nothing of its body has been read.

    Candidates are all connections from the client's address, and those that have been reset. The request's own is among
    them: hyper hands out one piece of a body unasked, and so notices the end of a connection early only if no byte of
    the body has come.
    """

    def __init__(self, environ: "WSGIEnvironment") -> None:
        """Take the candidates of the request that `environ` describes."""
        self._port = int(environ.get("SERVER_PORT", 0))
        self._grace = TLS_GRACE if environ.get("wsgi.url_scheme") == "https" else 0.0
        peers = ("", environ.get("REMOTE_ADDR", ""))
        self._candidates = {number for number, end in _ends(self._port).items() if end.peer in peers}

    def state(self, received: int) -> ConnectionState:
        """Return what is known at the end of a body of which `received` bytes have come."""
        if not self._candidates:
            return ConnectionState.UNKNOWN
        standing = self._look(received)
        if standing is ConnectionState.OPEN and self._grace:
            time.sleep(self._grace)
            standing = self._look(received)
        return standing

    def _look(self, received: int) -> ConnectionState:
        ends = _ends(self._port)
        are_open = {number for number in self._candidates if number in ends and ends[number].established}
        if not any(ends[number].received >= received for number in are_open):
            return ConnectionState.CLOSED
        return ConnectionState.OPEN if are_open == self._candidates else ConnectionState.AMBIGUOUS


class _End(NamedTuple):
    """The client's end of a connection.

    peer         its address, or "" where it has reset the connection
    established  whether neither side has closed the connection
    received     bytes that have come
    """

    peer: str
    established: bool
    received: int


def _ends(port: int) -> dict[int, _End]:
    """Return the connections of this process to `port`, by the numbers of their sockets."""
    found: dict[int, _End] = {}
    for connection, number in sockets(port):
        with contextlib.suppress(OSError):
            info = tcp_info(connection)
            if info[0] == LISTENING:
                continue
            peer = ""
            with contextlib.suppress(OSError):
                peer = connection.getpeername()[0]
            (count,) = struct.unpack_from("=Q", info, BYTES_RECEIVED)
            found[number] = _End(peer, info[0] == ESTABLISHED, count)
    return found
