"""The thread that reads a body: told apart from one that is lost, and waited for whatever goes wrong meanwhile."""

import threading
import time
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from functions.api import bodies
from functions.api.bodies import LOOK_AGAIN, SPIN, RequestBody, lost
from functions.registry.errors import BODY_STALLED, SIZE_WRONG, RegistryError


class Busy:
    """The body of a client that sends very small pieces: to put them together takes the processor's time."""

    def __init__(self) -> None:
        self._left = [b"all", b""]

    def read(self, size: int = -1) -> bytes:
        end = time.thread_time() + max(LOOK_AGAIN, SPIN) + 0.5
        while time.thread_time() < end and len(self._left) == 2:
            pass
        return self._left.pop(0)


def body_over(protocol: str) -> RequestBody:
    fields: dict[str, Any] = {"wsgi.input": Busy(), "wsgi.input_terminated": True, "SERVER_PROTOCOL": protocol}
    builder = EnvironBuilder(method="PATCH", headers=[("Transfer-Encoding", "chunked")], environ_overrides=fields)
    return RequestBody(Request(builder.get_environ()), patience=60)


@pytest.fixture(autouse=True)
def _none_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_lost", set())


def test_over_http1_no_reader_is_lost_since_each_read_ends() -> None:
    assert b"".join(body_over("HTTP/1.1").chunks()) == b"all"
    assert lost() == 0


def test_over_http2_it_is_given_up_and_no_longer_counted_when_it_ends_after_all() -> None:
    body = body_over("HTTP/2")

    with pytest.raises(RegistryError) as raised:
        list(body.chunks())

    assert raised.value.row is SIZE_WRONG
    assert lost() == 1
    for thread in list(bodies._lost):
        thread.join(20)
    assert lost() == 0


class Blocked:
    """The body of a client that has stalled: a read lasts until the connection is dropped."""

    def __init__(self) -> None:
        self.dropped = threading.Event()

    def read(self, size: int = -1) -> bytes:
        assert self.dropped.wait(30)
        return b""


def test_a_read_is_waited_for_though_connections_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server to which the request is given back before its read has ended stands still for good."""
    source = Blocked()
    looks: list[list[bool]] = []
    waited: list[bool] = []
    fields: dict[str, Any] = {"wsgi.input": source, "CONTENT_LENGTH": "1000", "SERVER_PROTOCOL": "HTTP/1.1"}
    builder = EnvironBuilder(method="PATCH", environ_overrides=fields)
    body = RequestBody(Request(builder.get_environ()), patience=0.1)

    def drop_still(port: int, peer: str, seconds: float) -> None:
        looks.append(waited.copy())
        if len(looks) == 1:
            raise OSError("another client's connection has just been reset")
        source.dropped.set()

    monkeypatch.setattr(bodies, "drop_still", drop_still)
    monkeypatch.setattr(bodies, "LOOK_AGAIN", 0.1)
    with pytest.raises(RegistryError) as raised:
        list(body.chunks())
    assert raised.value.row is BODY_STALLED
    assert not body.close()
    body.at_the_end(lambda: waited.append(source.dropped.is_set()))

    body.wait()

    assert looks == [[], []]
    assert waited == [True]
