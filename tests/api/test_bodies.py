"""The thread that reads a body is waited for whatever goes wrong meanwhile."""

import threading
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from functions.api import bodies
from functions.api.bodies import RequestBody
from functions.registry.errors import BODY_STALLED, RegistryError


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
