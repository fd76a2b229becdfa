"""A client that calls the app in this process, with requests as exact as a table writes them."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from werkzeug.datastructures import Headers
from werkzeug.test import EnvironBuilder, run_wsgi_app

from lading import settings
from lading.app import App
from lading.auth.authenticator import OpenAuthenticator
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images

HOST = "stranger.example"
"""The Host of every request: nothing in an answer may be made from it."""


@dataclass(frozen=True)
class Response:
    """What the app answered, read to its end."""

    status: int
    headers: Headers
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the first error."""
        code: str = self.json["errors"][0]["code"]
        return code


class CountingBody:
    """A body that comes in pieces and counts what was read of it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._chunks: Iterator[bytes] = iter(pieces)
        self._rest = b""
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        cut = len(self._rest) if size < 0 else size
        piece, self._rest = self._rest[:cut], self._rest[cut:]
        self.count += len(piece)
        return piece


class Client:
    """Asks one app."""

    def __init__(self, app: App) -> None:
        self.app = app

    def request(
        self,
        method: str,
        target: str,
        body: "bytes | CountingBody" = b"",
        headers: Mapping[str, str] | None = None,
        *,
        length: int | None = None,
        chunked: bool = False,
    ) -> Response:
        """One request. `target` is percent-encoded and sent as it is.

        length   the Content-Length, where it is not that of `body`
        chunked  send no Content-Length
        """
        path, _, query = target.partition("?")
        size = len(body) if isinstance(body, bytes) else length
        builder = EnvironBuilder(method=method, headers=Headers(list((headers or {}).items())))
        environ = builder.get_environ()
        builder.close()
        environ |= {"HTTP_HOST": HOST, "PATH_INFO": unquote_to_bytes(path).decode("latin-1"), "QUERY_STRING": query}
        environ["wsgi.input"] = io.BytesIO(body) if isinstance(body, bytes) else body
        environ.pop("CONTENT_LENGTH", None)
        if chunked:
            environ |= {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
        elif size or length:
            environ["CONTENT_LENGTH"] = str(size if length is None else length)
        elif method in ("POST", "PUT", "PATCH"):
            environ["CONTENT_LENGTH"] = "0"
        pieces, status, answered = run_wsgi_app(self.app, environ, buffered=True)
        return Response(int(status[:3]), answered, b"".join(pieces))

    def push_blob(self, repository: str, content: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one request; answers its digest."""
        digest = digest_of(content, algorithm)
        answer = self.request("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", content)
        assert answer.status == 201, answer
        return digest

    def push_manifest(self, repository: str, reference: str, content: bytes) -> str:
        """Push a manifest by a tag or digest; answers its digest."""
        answer = self.request("PUT", f"/v2/{repository}/manifests/{reference}", content, content_type_header(content))
        assert answer.status == 201, answer
        return answer.headers["Docker-Content-Digest"]

    def push_image(self, repository: str, reference: str, *layers: bytes, **fields: Any) -> bytes:
        """Push an image with all that it names; answers its manifest."""
        for content in (images.EMPTY_CONFIG, *layers):
            self.push_blob(repository, content)
        manifest = images.manifest(list(layers), **fields)
        self.push_manifest(repository, reference, manifest)
        return manifest

    def start_upload(self, repository: str, query: str = "") -> str:
        """Begin an upload session; return the path that goes on with it."""
        answer = self.request("POST", f"/v2/{repository}/blobs/uploads/{query}")
        assert answer.status == 202, answer
        return answer.headers["Location"]


def make_client(registry: Registry, **environment: str) -> Client:
    """A client of an app over `registry`, with the settings of `environment`."""
    return Client(App(registry, settings.load_settings(environment), OpenAuthenticator()))


def content_type_header(manifest: bytes) -> dict[str, str]:
    """The Content-Type with which to push a manifest that says its own type."""
    return {"Content-Type": json.loads(manifest)["mediaType"]}
