"""Bodies: their reading thread is waited for whatever goes wrong, and none that may have been cut counts as whole."""

import io
import threading
from typing import Any

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from lading.http import request_body
from lading.http.request_body import RequestBody
from lading.http.request_connection import ConnectionState, RequestConnection
from lading.registry.errors import (
    BODY_STALLED,
    BODY_TRUNCATED,
    LENGTH_REQUIRED,
    UNAVAILABLE,
    ErrorDescriptor,
    RegistryError,
)


class StalledInput:
    """The body of a client that has stalled: a read lasts until the connection is dropped."""

    def __init__(self) -> None:
        self.dropped = threading.Event()

    def read(self, size: int = -1) -> bytes:
        assert self.dropped.wait(30)
        return b""


def test_a_read_is_waited_for_though_connections_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server to which the request is given back before its read has ended stands still for good."""
    source = StalledInput()
    looks: list[list[bool]] = []
    waited: list[bool] = []
    fields: dict[str, Any] = {"wsgi.input": source, "CONTENT_LENGTH": "1000", "SERVER_PROTOCOL": "HTTP/1.1"}
    builder = EnvironBuilder(method="PATCH", environ_overrides=fields)
    body = RequestBody(Request(builder.get_environ()), stall_timeout=0.1)

    def drop_still(port: int, peer: str, seconds: float) -> None:
        looks.append(waited.copy())
        if len(looks) == 1:
            raise OSError("another client's connection has just been reset")
        source.dropped.set()

    monkeypatch.setattr(request_body, "close_idle", drop_still)
    monkeypatch.setattr(request_body, "POLL_INTERVAL", 0.1)
    with pytest.raises(RegistryError) as raised:
        list(body.chunks())
    assert raised.value.descriptor is BODY_STALLED
    assert not body.close()
    body.call_on_close(lambda: waited.append(source.dropped.is_set()))

    body.wait()

    assert looks == [[], []]
    assert waited == [True]


def test_a_blob_of_1_mib_is_read_in_few_chunks() -> None:
    """Each chunk passes from one thread to another, and that is where the time of a small upload goes."""
    content = bytes(1024 * 1024)
    fields = {"wsgi.input": io.BytesIO(content), "wsgi.input_terminated": True}
    builder = EnvironBuilder(method="PATCH", environ_overrides={**fields, "CONTENT_LENGTH": str(len(content))})

    chunks = list(RequestBody(Request(builder.get_environ()), stall_timeout=20).chunks())

    assert [len(chunk) // 1024 for chunk in chunks] == [64, 384, 384, 192]


@pytest.mark.parametrize(
    ("standing", "row"),
    [
        (ConnectionState.UNKNOWN, LENGTH_REQUIRED),
        (ConnectionState.AMBIGUOUS, UNAVAILABLE),
        (ConnectionState.CLOSED, BODY_TRUNCATED),
    ],
)
@pytest.mark.parametrize("checked", [False, True])
def test_where_it_is_not_certain_that_a_body_is_whole_a_digest_must_be_checked(
    standing: ConnectionState, row: ErrorDescriptor, checked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RequestConnection, "state", lambda *_: standing)
    fields = {"wsgi.input": io.BytesIO(b"all"), "wsgi.input_terminated": True}
    builder = EnvironBuilder(method="PUT", headers=[("Transfer-Encoding", "chunked")], environ_overrides=fields)
    body = RequestBody(Request(builder.get_environ()), stall_timeout=20)
    if checked and standing is not ConnectionState.CLOSED:
        assert body.read(100, digest_checked=True) == b"all"
        return

    with pytest.raises(RegistryError) as raised:
        body.read(100, digest_checked=checked)

    assert raised.value.descriptor is row
