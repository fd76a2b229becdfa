"""A response closes its content exactly once, whatever becomes of it, on both pairs of stores."""

import contextlib
import io
from collections.abc import Iterator
from typing import Any, cast

import pytest

from lading import settings
from lading.app import App, request_of
from lading.auth.authenticator import OpenAuthenticator
from lading.http.responses import Response
from lading.http.streaming import ResponseStreams
from lading.registry.registry import Registry
from lading.server.serve import RequestCallback
from lading.surface.request_context import RequestContext
from lading_storage.digests import digest_of
from lading_storage.protocols import MAX_CONTENT_SIZE, BlobStore
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client

LAYER = images.blob(3_000_000)
DIGEST = digest_of(LAYER)


class Content:
    """Content that counts how often it is closed."""

    def __init__(self, chunks: int = 3) -> None:
        self._chunks = iter([b"chunk"] * chunks)
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self.closed += 1


class Opening:
    """What a store has opened, which counts how often it is closed."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.closed = 0
        self.ended = False

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            self.ended = True
            raise

    def close(self) -> None:
        self.closed += 1
        cast(Any, self._chunks).close()


class OpeningStore:
    """A blob store, without signed URLs, that keeps what it has opened."""

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs
        self.openings: list[Opening] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._blobs, name)

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        self.openings.append(Opening(self._blobs.open(name, start, stop)))
        return self.openings[-1]

    def signed_url(self, name: str) -> str | None:
        return None


@pytest.fixture
def blobs(stores: Stores) -> OpeningStore:
    return OpeningStore(stores.blobs)


@pytest.fixture
def app(blobs: OpeningStore, stores: Stores) -> App:
    """An app with a blob, and a manifest that is stored as an object."""
    app = App(Registry(cast(BlobStore, blobs), stores.metadata), settings.load_settings({}), OpenAuthenticator())
    client = Client(app)
    client.push_image("a", "v1", LAYER)
    client.push_manifest("a", "large", images.manifest([LAYER], annotations={"": "x" * MAX_CONTENT_SIZE}))
    blobs.openings.clear()
    return app


def environ_of(method: str, path: str, **headers: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "HTTP_HOST": "localhost:5000",
        **headers,
    }


BLOB = f"/v2/a/blobs/{DIGEST}"
REQUESTS = {
    "a blob": environ_of("GET", BLOB),
    "a range": environ_of("GET", BLOB, HTTP_RANGE="bytes=5-2000000"),
    "two ranges": environ_of("GET", BLOB, HTTP_RANGE="bytes=0-9,2000000-2000009"),
    "a large manifest": environ_of("GET", "/v2/a/manifests/large"),
}


@pytest.mark.parametrize("taken", [0, 1, 1000], ids=["unread", "begun", "read"])
@pytest.mark.parametrize("request_", REQUESTS)
def test_what_a_pull_opens_is_closed_wherever_its_client_leaves(
    app: App, blobs: OpeningStore, request_: str, taken: int
) -> None:
    response = app.respond(request_of(dict(REQUESTS[request_])))
    for _ in zip(range(taken), response, strict=False):
        pass
    response.close()
    response.close()

    assert response.status in (200, 206)
    assert blobs.openings != []
    assert [opening.closed for opening in blobs.openings] == [1] * len(blobs.openings)
    assert all(opening.ended for opening in blobs.openings) or taken < 1000 or request_ == "two ranges"


@pytest.mark.parametrize("request_", REQUESTS)
def test_head_and_an_unchanged_representation_leave_nothing_open(app: App, blobs: OpeningStore, request_: str) -> None:
    unchanged = app.respond(request_of({**REQUESTS[request_], "HTTP_IF_NONE_MATCH": "*"}))
    head = app.respond(request_of({**REQUESTS[request_], "REQUEST_METHOD": "HEAD"}))

    assert head.content == b""
    assert isinstance(unchanged.content, bytes) or unchanged.status != 304
    unchanged.close()
    assert all(opening.closed == 1 for opening in blobs.openings)


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_content_that_is_not_sent_is_closed_before_the_response(
    app: App, monkeypatch: pytest.MonkeyPatch, method: str, status: int
) -> None:
    content = Content()
    respond_with(Response(status, content=content, size=15), monkeypatch)

    response = app.respond(request_of(environ_of(method, "/v2/")))

    assert (response.status, response.content, content.closed) == (status, b"", 1)
    assert dict(response.headers).get("Content-Length") == ("15" if status == 200 else None)
    response.close()
    assert content.closed == 1


def test_content_that_the_limits_refuse_is_closed(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    content = Content()
    respond_with(Response(content=content, size=15), monkeypatch)
    monkeypatch.setattr(ResponseStreams, "add", lambda *_: None)

    response = app.respond(request_of(environ_of("GET", "/v2/")))

    assert (response.status, content.closed) == (503, 1)


class Disconnected(Exception):
    pass


class Protocol:
    """A server's end of a request whose client disconnects after some chunks."""

    def __init__(self, chunks: int) -> None:
        self._chunks = chunks

    def response_iter(self, status: int, headers: list[tuple[str, str]], chunks: Any) -> None:
        for _ in range(self._chunks):
            chunks.__next__()
        raise Disconnected


@pytest.mark.parametrize("chunks", [0, 1])
def test_a_client_that_disconnects_leaves_nothing_open(app: App, blobs: OpeningStore, chunks: int) -> None:
    with contextlib.suppress(Disconnected):
        RequestCallback(app, None)(Protocol(chunks), dict(REQUESTS["a blob"]))

    assert [opening.closed for opening in blobs.openings] == [1]
    assert not app.response_streams.paused({"": 1}, 0)


def test_a_response_that_cannot_be_created_closes_its_content() -> None:
    content = Content()

    with pytest.raises(ValueError, match="more than one line"):
        Response(200, {"Location": "a\nb"}, content, 15)

    assert content.closed == 1


def test_the_callbacks_run_once_and_though_the_content_cannot_be_closed() -> None:
    class Broken(Content):
        def close(self) -> None:
            super().close()
            raise OSError("it cannot be closed")

    content, calls = Broken(), list[str]()
    response = Response(200, content=content, size=15)
    response.call_on_close(lambda: calls.append(f"first, {content.closed}"))
    response.call_on_close(lambda: calls.append("second"))
    response.content = (chunk for chunk in content)

    with pytest.raises(OSError, match="cannot be closed"):
        response.close()
    response.close()

    assert (calls, content.closed) == (["first, 1", "second"], 1)


def respond_with(response: Response, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the handler of GET /v2/ return this response."""

    def handler(context: RequestContext) -> Response:
        return response

    from lading.api.distribution import DISTRIBUTION

    for route in DISTRIBUTION.routes:
        if route.spec == "end-1":
            monkeypatch.setitem(route.__dict__, "handler", handler)
