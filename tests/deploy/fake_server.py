"""HTTP server of the fakes: JSON in, JSON out, for callers with the token alone."""

import json
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

TOKEN: Final = "ya29.deploy"


class ErrorResponse(Exception):
    """A response that is an error: its status and its body, in bytes if it is not JSON."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status, self.body = status, body


def google_error(status: int, reason: str, message: str = "as the test wants it") -> ErrorResponse:
    """Return an error in the form of Google's APIs (https://cloud.google.com/apis/design/errors)."""
    return ErrorResponse(status, {"error": {"code": status, "status": reason, "message": message}})


class Service(Protocol):
    """What a server serves."""

    def respond(self, method: str, path: str, query: Mapping[str, str], body: Any, media_type: str) -> Any:
        """Return the body of the response, or raise ErrorResponse. `path` has no leading slash."""


class FakeServer:
    """Serves while its block runs, on a port of its own.

    Attributes:
        calls: the requests so far, as in "GET v2/…".
        before_update: run once before the next update is looked at: what another client does in between.
        barrier: where updates wait for each other, if there is one.
    """

    def __init__(self, service: Service, certificate: tuple[Path, Path] | None = None) -> None:
        """Serve with TLS if there is a certificate, with its key."""
        self.calls: list[str] = []
        self.before_update: Callable[[], None] | None = None
        self.barrier: threading.Barrier | None = None
        self._errors: list[ErrorResponse] = []
        self._service = service
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"fake": self}))
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def fail(self, *errors: ErrorResponse) -> None:
        """Respond to the next requests with errors, one each."""
        self._errors += errors

    def respond(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], content: bytes
    ) -> Any:
        if method != "GET" and (hook := self.before_update):
            self.before_update = None
            hook()
        if method != "GET" and self.barrier:
            self.barrier.wait()
        with self._lock:
            self.calls.append(f"{method} {path}")
            if headers.get("Authorization") != f"Bearer {TOKEN}":
                raise google_error(401, "UNAUTHENTICATED")
            if self._errors:
                raise self._errors.pop(0)
            body = json.loads(content) if content else None
            return self._service.respond(method, path, query, body, headers.get("Content-Type", ""))


class _Handler(BaseHTTPRequestHandler):
    fake: FakeServer
    protocol_version = "HTTP/1.1"

    def _respond(self) -> None:
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            status, body = (
                200,
                self.fake.respond(
                    self.command,
                    unquote(parts.path)[1:],
                    dict(parse_qsl(parts.query)),
                    {name.title(): value for name, value in self.headers.items()},
                    content,
                ),
            )
        except ErrorResponse as error:
            status, body = error.status, error.body
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PATCH = _respond  # noqa: N815  # as the library wants them called

    def log_message(self, *_: object) -> None:
        """Log nothing."""
