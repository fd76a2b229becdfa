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
from collections import defaultdict
from collections.abc import Container, Iterable
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.http.tcp_info import (
    BYTES_RECEIVED,
    ESTABLISHED,
    LISTENING,
    duplicate,
    port_of,
    socket_descriptors,
    tcp_info,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

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
        self._grace = TLS_GRACE if environ.get("wsgi.url_scheme") == "https" else 0.0
        port, peers = int(environ.get("SERVER_PORT", 0)), ("", environ.get("REMOTE_ADDR", ""))
        self._candidates: defaultdict[int, list[int]] = defaultdict(list)
        for descriptor, number in socket_descriptors():
            # One may have several, since other threads duplicate them for a moment.
            if _is_connection(descriptor, number, port, peers):
                self._candidates[number].append(descriptor)

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
        infos = [_info(number, descriptors) for number, descriptors in self._candidates.items()]
        established = [info for info in infos if info and info[0] == ESTABLISHED]
        if not any(_received(info) >= received for info in established):
            return ConnectionState.CLOSED
        return ConnectionState.OPEN if len(established) == len(infos) else ConnectionState.AMBIGUOUS


class _Socket(NamedTuple):
    """What never changes of a socket.

    number  its inode number
    port    this process's port, or 0 for a socket that is not TCP
    peer    the client's address, "" where it has reset the connection, or None for one that listens
    """

    number: int
    port: int
    peer: str | None


_sockets: Final[dict[int, _Socket]] = {}
"""The latest socket of each descriptor. Each system call about a socket hands the interpreter's lock to other threads:
asked of all sockets at the beginning and end of each body, they were a tenth of the cost of a blob of 1 MiB."""


def _is_connection(descriptor: int, number: int, port: int, peers: Container[str | None]) -> bool:
    """Return whether a socket is a connection to `port` from one of `peers`."""
    known = _sockets.get(descriptor)
    if known is None or known.number != number:
        try:
            known = _sockets[descriptor] = _inspect(descriptor, number)
        except OSError:
            return False
    return known.port == port and known.peer in peers


def _inspect(descriptor: int, number: int) -> _Socket:
    with duplicate(descriptor, number) as connection:
        port, peer = port_of(connection), None
        if port and tcp_info(connection)[0] != LISTENING:
            peer = ""
            with contextlib.suppress(OSError):
                peer = connection.getpeername()[0]
        return _Socket(number, port, peer)


def _info(number: int, descriptors: Iterable[int]) -> bytes | None:
    """Return the `struct tcp_info` of a socket that has had these descriptors, or None where none of them has it."""
    for descriptor in descriptors:
        with contextlib.suppress(OSError), duplicate(descriptor, number) as connection:
            return tcp_info(connection)
    return None


def _received(info: bytes) -> int:
    """Return the bytes received from the client."""
    (received,) = struct.unpack_from("=Q", info, BYTES_RECEIVED)
    return int(received)
