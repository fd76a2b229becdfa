"""The app under other WSGI servers: a chunked body is read to its end or refused, never taken for empty."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPResponse
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.simple_server import make_server as make_wsgiref

import pytest
from werkzeug.serving import make_server as make_werkzeug
from werkzeug.test import EnvironBuilder

from lading import settings
from lading.app import CLOSE_HEADER, App, request_of
from lading.auth.authenticator import OpenAuthenticator
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.query import Query
from lading_storage.records.core import Blob, Upload
from lading_storage.stores import Stores
from tests.support.call_counts import SilentHandler

CONTENT = b"content"
EMPTY = digest_of(b"")


class SilentWsgiref(WSGIRequestHandler):
    """wsgiref's handler without a log."""

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def app(stores: Stores) -> App:
    return App(Registry(stores.blobs, stores.metadata), settings.load_settings({}), OpenAuthenticator())


@contextlib.contextmanager
def running(server: Any) -> Iterator[int]:
    """The port of a server that runs in a thread."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def send(port: int, method: str, path: str, *, chunked: bool) -> tuple[int, bytes]:
    """Send a request with CONTENT; return the status and content of its response."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(CONTENT)}"
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(CONTENT), CONTENT) if chunked else CONTENT
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        # In one piece: a server that refuses the request closes the connection while the client still sends.
        connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode() + body)
        response = HTTPResponse(connection, method=method)
        response.begin()
        return response.status, response.read()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", f"/v2/a/blobs/uploads/?digest={EMPTY}"),
        ("POST", f"/v2/a/blobs/uploads/?digest={digest_of(CONTENT)}"),
        ("POST", "/v2/a/blobs/uploads/"),
        ("PUT", "/v2/a/manifests/v1"),
        ("GET", "/v2/"),
        ("POST", "/v2/token"),
    ],
)
def test_a_body_without_a_known_end_is_refused(app: App, method: str, path: str) -> None:
    with running(make_wsgiref("127.0.0.1", 0, app, WSGIServer, SilentWsgiref)) as port:
        status, content = send(port, method, path, chunked=True)

    assert status == 411
    assert json.loads(content)["errors"][0]["code"] == "SIZE_INVALID"
    assert not any(app.registry.metadata.find(Query(kind, limit=1)) for kind in (Blob, Upload))


def test_what_remains_unread_is_not_taken_for_the_next_request(app: App) -> None:
    builder = EnvironBuilder(method="PUT", path="/v2/a/manifests/v1", headers=[("Transfer-Encoding", "chunked")])

    response = app.respond(request_of(builder.get_environ()))

    assert response.status == 411
    assert CLOSE_HEADER in response.headers


def test_a_body_with_a_known_end_is_read(app: App) -> None:
    with running(make_werkzeug("127.0.0.1", 0, app, threaded=True, request_handler=SilentHandler)) as port:
        status, _ = send(port, "POST", f"/v2/a/blobs/uploads/?digest={digest_of(CONTENT)}", chunked=True)

    assert status == 201
    assert app.registry.blobs.get("a", digest_of(CONTENT)).size == len(CONTENT)


def test_wsgiref_serves_a_body_with_a_length(app: App) -> None:
    with running(make_wsgiref("127.0.0.1", 0, app, WSGIServer, SilentWsgiref)) as port:
        status, _ = send(port, "POST", f"/v2/a/blobs/uploads/?digest={digest_of(CONTENT)}", chunked=False)

    assert status == 201
