"""What the kernel tells of the connection of a request at the end of its body."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator

import pytest

from lading.http.request_connection import ConnectionState, RequestConnection
from tests.serving.truncated_requests import close, reset

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells of connections")


class Pairs:
    """Connections to one listener of this process, with both ends."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.servers: list[socket.socket] = []
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.environ = {"SERVER_PORT": str(self._listener.getsockname()[1]), "REMOTE_ADDR": "127.0.0.1"}

    def connect(self, sent: bytes) -> socket.socket:
        """Return the client's end of a new connection over which so much has come."""
        client = self._stack.enter_context(socket.create_connection(self._listener.getsockname(), timeout=5))
        server = self._stack.enter_context(self._listener.accept()[0])
        self.servers.append(server)
        client.sendall(sent)
        if sent:
            assert server.recv(len(sent), socket.MSG_WAITALL) == sent
        return client


@pytest.fixture
def pairs() -> Iterator[Pairs]:
    with contextlib.ExitStack() as stack:
        yield Pairs(stack)


def test_an_open_connection_is_told_from_one_that_is_closed(pairs: Pairs) -> None:
    client = pairs.connect(b"body")
    connection = RequestConnection(pairs.environ)
    assert connection.state(4) is ConnectionState.OPEN

    close(client)

    assert connection.state(4) is ConnectionState.CLOSED


def test_one_that_is_reset_before_the_first_look_is_a_candidate(pairs: Pairs) -> None:
    """Its address is not known any more."""
    reset(pairs.connect(b"body"))

    assert RequestConnection(pairs.environ).state(4) is ConnectionState.CLOSED


def test_where_one_of_several_has_ended_it_is_not_known_whose_it_was(pairs: Pairs) -> None:
    ended, _other = pairs.connect(b"body"), pairs.connect(b"body")
    connection = RequestConnection(pairs.environ)

    close(ended)

    assert connection.state(4) is ConnectionState.AMBIGUOUS


def test_a_connection_over_which_less_has_come_is_not_the_one(pairs: Pairs) -> None:
    ended, _other = pairs.connect(b"body"), pairs.connect(b"no")
    connection = RequestConnection(pairs.environ)

    close(ended)

    assert connection.state(4) is ConnectionState.CLOSED


def test_later_connections_and_other_addresses_do_not_count(pairs: Pairs) -> None:
    client = pairs.connect(b"body")
    connection = RequestConnection(pairs.environ)
    close(pairs.connect(b"body"))
    assert connection.state(4) is ConnectionState.OPEN

    assert RequestConnection({**pairs.environ, "REMOTE_ADDR": "192.0.2.1"}).state(4) is ConnectionState.UNKNOWN
    close(client)


def test_a_duplicate_that_is_closed_meanwhile_does_not_end_the_connection(pairs: Pairs) -> None:
    """Other threads duplicate the descriptors of connections for a moment."""
    pairs.connect(b"body")
    with pairs.servers[0].dup():
        connection = RequestConnection(pairs.environ)

    assert connection.state(4) is ConnectionState.OPEN


def test_another_connection_with_the_same_descriptor_is_not_the_one(pairs: Pairs) -> None:
    pairs.connect(b"body")
    connection = RequestConnection(pairs.environ)
    descriptor = pairs.servers[0].fileno()
    pairs.connect(b"body")

    os.dup2(pairs.servers[1].fileno(), descriptor)

    assert connection.state(4) is ConnectionState.CLOSED
    assert RequestConnection(pairs.environ).state(4) is ConnectionState.OPEN


def test_the_end_of_a_body_costs_calls_for_its_candidates_alone(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each hands the interpreter's lock to other threads; that was a tenth of the cost of a blob of 1 MiB."""
    pairs.connect(b"body")
    RequestConnection(pairs.environ)
    others = [socket.create_server(("127.0.0.1", 0)) for _ in range(20)]
    RequestConnection(pairs.environ)
    copied: list[int] = []
    dup = os.dup

    def counted(descriptor: int) -> int:
        copied.append(descriptor)
        return dup(descriptor)

    monkeypatch.setattr(os, "dup", counted)

    connection = RequestConnection(pairs.environ)
    assert copied == []
    assert connection.state(4) is ConnectionState.OPEN

    assert copied == [pairs.servers[0].fileno()]
    for other in others:
        other.close()
