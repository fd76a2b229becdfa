"""Detecting truncated bodies: whether the connection of a request is still open at the end of its body.

To a WSGI application under granian a truncated chunked body looks like a complete one: the reader takes an error for an
empty chunk (2.8.7). Nor does granian expose the connection of a request. But the kernel knows that a connection has
ended before the server reads the end. So a body that ends while its connection is open is complete. No valid request is
refused by that: hyper sends no response to a client that closes its side of the connection after a complete request.

With Envoy in front, only chunks of uploads come without a length: Envoy buffers other bodies until they are complete
(envoy_config).

Over TLS the end is a message of its own (close_notify), which the kernel does not see. Clients close the connection
with the next packet, so there is a second check after TLS_GRACE.

Not detected, since granian offers no way (2.8.7): a TLS client that leaves its connection open after close_notify, and
a body with a malformed chunk. For both, hyper passes an error that granian's reader turns into no bytes. Tried:
`read(n)`, `readline` and iteration end as with a last chunk. `read()` returns nothing at all after an error, but reads
a body of any size into memory first. The kernel counts bytes with their framing, which may be padded. That hyper stops
reading such a connection cannot be observed from outside, and granian's logger reports nothing. So the bytes before a
malformed chunk may be taken for the complete body where no digest is checked: chunks of uploads, manifests by tag,
forms.

Manifests by tag may be chunked all the same: Jib sends all bodies so (its BlobHttpContent has no length), and 411 would
refuse it.
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
"""Maximum seconds between a TLS client's close_notify and the end of its connection."""


class ConnectionState(Enum):
    """The state of a request's connection, as far as it is known."""

    OPEN = "open"
    CLOSED = "closed or reset"
    AMBIGUOUS = "one of several, some of which are open"
    UNKNOWN = "not reported by the kernel, or not TCP"


class RequestConnection:
    """The connection of a request, known as one of several candidates.

    Candidates are all connections from the client's address, and those that were reset, at a time when nothing of the
    body has been read. The request's own is among them: hyper reads one chunk of a body ahead, and so notices the end
    of a connection early only if no byte of the body has arrived.
    """

    def __init__(self, environ: "WSGIEnvironment") -> None:
        """Record the candidates of the request with this WSGI environment."""
        self._port = int(environ.get("SERVER_PORT", 0))
        self._grace = TLS_GRACE if environ.get("wsgi.url_scheme") == "https" else 0.0
        peers = ("", environ.get("REMOTE_ADDR", ""))
        self._candidates = {number for number, endpoint in _endpoints(self._port).items() if endpoint.peer in peers}

    def state(self, received: int) -> ConnectionState:
        """Return the state at the end of a body of which `received` bytes have arrived."""
        if not self._candidates:
            return ConnectionState.UNKNOWN
        state = self._check(received)
        if state is ConnectionState.OPEN and self._grace:
            time.sleep(self._grace)
            state = self._check(received)
        return state

    def _check(self, received: int) -> ConnectionState:
        endpoints = _endpoints(self._port)
        are_open = {number for number in self._candidates if number in endpoints and endpoints[number].established}
        if not any(endpoints[number].received >= received for number in are_open):
            return ConnectionState.CLOSED
        return ConnectionState.OPEN if are_open == self._candidates else ConnectionState.AMBIGUOUS


class _Endpoint(NamedTuple):
    """The client's endpoint of a connection.

    peer         its address, or "" where it has reset the connection
    established  whether neither side has closed the connection
    received     bytes received from it
    """

    peer: str
    established: bool
    received: int


def _endpoints(port: int) -> dict[int, _Endpoint]:
    """Return the clients' endpoints of this process's connections to `port`, by inode numbers of the sockets."""
    endpoints: dict[int, _Endpoint] = {}
    for connection, number in sockets(port):
        with contextlib.suppress(OSError):
            info = tcp_info(connection)
            if info[0] == LISTENING:
                continue
            peer = ""
            with contextlib.suppress(OSError):
                peer = connection.getpeername()[0]
            (received,) = struct.unpack_from("=Q", info, BYTES_RECEIVED)
            endpoints[number] = _Endpoint(peer, info[0] == ESTABLISHED, received)
    return endpoints
