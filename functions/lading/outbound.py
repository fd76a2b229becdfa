"""Outbound: HTTP requests to other services, at addresses that were checked, within a time limit.

    parse_url ──▶ Addresses.resolve, once ──▶ connect to that address ──▶ TLS for the host's name ──▶ request ──▶ reply

No redirect is followed, no proxy of the environment is used, and no other address is ever connected to. The time limit
is for all of that together, however slowly the other side sends.
"""

import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from http.client import HTTPException
from io import BytesIO
from socket import SHUT_RDWR, socket
from typing import BinaryIO, Final, Self

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse

import lading
from lading.addresses import Address, Addresses, Target, parse_url
from lading.connection_errors import reason_of, root_cause

TIME_LIMIT: Final = 10.0
"""Seconds for a request: to connect, to send it, and to receive the response."""

MAX_RESPONSE: Final = 64 * 1024
"""Bytes of a response's body that are read."""

CHUNK_SIZE: Final = 16 * 1024

LATE: Final = "it did not respond in time"


class OutboundError(Exception):
    """There is no response; the message is a sentence that says why, without the URL."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Response of another service.

    Attributes:
        status: of HTTP.
        headers: by their names in lower case; of several with one name, the first.
        body: at most MAX_RESPONSE bytes.
        complete: whether the body is whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    complete: bool


class Outbound:
    """Client for requests to other services. Thread-safe: each request has a connection of its own."""

    def __init__(
        self,
        addresses: Addresses,
        context: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        """Connect where `addresses` allows it.

        Args:
            addresses: decides about each connection.
            context: makes the context of TLS, which must verify certificates; called with the first request.
            time_limit: seconds for a request.
        """
        self._addresses = addresses
        self._make_context = context
        self._time_limit = time_limit

    def post(self, url: str, body: bytes, headers: Mapping[str, str], ends_at: float | None = None) -> Reply:
        """Send a POST request and return the response, whatever its status is.

        Args:
            url: http(s)://….
            body: to send.
            headers: further headers; Host and User-Agent are set here.
            ends_at: the time of time.monotonic at which the request ends, if that is before its time limit.

        Raises:
            AddressError: the URL is not valid, or the registry may not connect to its address.
            OutboundError: there was no response within the time limit.
        """
        return self._send(url, _Request("POST", headers, body), ends_at)

    def download(self, url: str, headers: Mapping[str, str], into: BinaryIO, limit: int) -> Reply:
        """Send a GET request, and write the body of the response to a file if its status is 200.

        Args:
            url: http(s)://….
            headers: further headers; Host and User-Agent are set here.
            into: the file.
            limit: bytes that are written; of a longer body, `complete` of the reply is false.

        Raises:
            AddressError: the URL is not valid, or the registry may not connect to its address.
            OutboundError: there was no response within the time limit.
            OSError: the file cannot be written.
        """
        return self._send(url, _Request("GET", headers, into=into, limit=limit), None)

    def _send(self, url: str, request: "_Request", ends_at: float | None) -> Reply:
        target, deadline = parse_url(url), time.monotonic() + self._time_limit
        if ends_at is not None:
            deadline = min(deadline, ends_at)
        connection = self._connect(target, self._addresses.resolve(target), deadline)
        with _Watchdog(connection, deadline) as watchdog:
            return _exchange(connection, target, request, watchdog)

    def _connect(self, target: Target, addresses: Sequence[Address], deadline: float) -> HTTPConnection:
        """Return a connection to the first address that accepts one. Raises OutboundError."""
        reason = LATE
        for remaining in range(len(addresses), 0, -1):
            # An address has its share of the time: one half for TCP, and one for TLS.
            timeout = (deadline - time.monotonic()) / remaining / 2
            if timeout <= 0:
                break
            connection = self._connection(target, addresses[-remaining], timeout)
            try:
                connection.connect()
            except (HTTPError, OSError) as error:
                connection.close()
                reason = _reason(error)
            else:
                return connection
        raise OutboundError(reason)

    def _connection(self, target: Target, address: Address, timeout: float) -> HTTPConnection:
        """Return a connection to an address, not yet connected; the host's name is for TLS alone."""
        host = str(address)
        if target.scheme == "http":
            return HTTPConnection(host, target.port, timeout=timeout)
        return HTTPSConnection(
            host, target.port, timeout=timeout, server_hostname=target.host, ssl_context=self._context
        )

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return self._make_context()


@dataclass(frozen=True, slots=True)
class _Request:
    """Request; the body of a response of status 200 is written to `into`, at most `limit` bytes, if it is given."""

    method: str
    headers: Mapping[str, str]
    body: bytes | None = None
    into: BinaryIO | None = None
    limit: int = 0


class _Watchdog:
    """Ends a connection at a deadline, for as long as a `with` block lasts: a socket's timeout is for each read alone.

    expired  whether it did
    """

    def __init__(self, connection: HTTPConnection, deadline: float) -> None:
        """Watch a connection that is connected; `deadline` is a time of time.monotonic."""
        self.expired = False
        self._connection = connection
        # http.client forgets it while it reads a body that ends with the connection.
        self._socket = _connected(connection)
        # While this is open, so is the socket: the timer never uses a number that is another one's by then.
        self._hold = self._socket.makefile("rb", buffering=0)
        self._remaining = max(0.0, deadline - time.monotonic())
        self._timer = threading.Timer(self._remaining, self._end)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        """Start."""
        # Until now, it was the part of the time that an address has. urllib3 sets it on the socket with each step.
        self._connection.timeout = max(self._remaining, 0.001)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and close the connection."""
        self._timer.cancel()
        self._timer.join()
        self._hold.close()
        self._connection.close()

    def _end(self) -> None:
        self.expired = True
        with suppress(OSError):
            # The socket's own method, under TLS as well: nothing more is sent or received.
            socket.shutdown(self._socket, SHUT_RDWR)


def _connected(connection: HTTPConnection) -> socket:
    if connection.sock is None:
        raise OutboundError(LATE)
    return connection.sock


def _exchange(connection: HTTPConnection, target: Target, request: _Request, watchdog: _Watchdog) -> Reply:
    """Send the request and read the response. Raises OutboundError where there is not even a status."""
    sent = {"Host": target.authority, "User-Agent": f"lading/{lading.__version__}", **request.headers}
    try:
        # An endpoint can respond, and close the connection, before it has read the request.
        with suppress(BrokenPipeError):
            connection.request(
                request.method, target.path, request.body, sent, preload_content=False, decode_content=False
            )
        response = connection.getresponse()
    except (HTTPError, HTTPException, OSError) as error:
        raise OutboundError(LATE if watchdog.expired else _reason(error)) from None
    if watchdog.expired:
        # The end of the connection reads as that of the headers.
        raise OutboundError(LATE)
    body = BytesIO()
    with closing(response):
        if request.into is not None and response.status == HTTPStatus.OK:
            complete = _copy(response, request.into, request.limit)
        else:
            complete = _copy(response, body, MAX_RESPONSE)
    first = {name.lower(): value for name, value in reversed(list(response.headers.iteritems()))}
    return Reply(response.status, first, body.getvalue(), complete and not watchdog.expired)


def _copy(response: BaseHTTPResponse, into: BinaryIO, limit: int) -> bool:
    """Write at most `limit` bytes of a body, and return whether that is all of it. Raises what `into` does."""
    written = 0
    while True:
        try:
            chunk = response.read1(CHUNK_SIZE, decode_content=False)
        except (HTTPError, HTTPException, OSError):
            # The status counts, even if the rest never comes.
            return False
        if not chunk:
            return True
        into.write(chunk[: limit - written])
        written += len(chunk)
        if written > limit:
            return False


def _reason(error: Exception) -> str:
    """Return why there is no response, without what the other side sent."""
    cause = root_cause(error)
    if isinstance(cause, TimeoutError):
        return LATE
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {cause.verify_message}"
    if isinstance(cause, HTTPException) and not isinstance(cause, OSError):
        return "it did not respond as HTTP specifies"
    return f"it cannot be reached: {reason_of(cause)[:200]}"
