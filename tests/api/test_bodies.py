"""A reader that is lost is told from one that has much to do."""

import time
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from functions.api import bodies
from functions.api.bodies import LOOK_AGAIN, SPIN, RequestBody, lost
from functions.registry.errors import SIZE_WRONG, RegistryError


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
