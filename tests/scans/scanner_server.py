"""A registry over HTTP in this process with a scanner's account, a store of signed URLs beside it, and their faults."""

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from werkzeug.serving import make_server

from emulators.processes import free_port
from lading.app import App
from lading.auth_composition import open_authenticator
from lading.registry.registry import Registry
from lading.scanner.registry_client import RegistryClient
from lading.settings import load_settings
from tests.support.fake_iam_world import BUCKET, FakeIamWorld, id_token, publish_certificates

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ACCOUNT: Final = "lading-scan@some-project.iam.gserviceaccount.com"


@dataclass
class ScannerServer:
    """A running registry.

    statuses  of the next responses, in the place of the registry's; 0 is the registry's own
    requests  method and path of each request
    waits     seconds that the client waited before repetitions
    """

    url: str
    app: "WSGIApplication"
    statuses: list[int] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self.requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        if self.statuses and (status := self.statuses.pop(0)):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{status} Status", [("Content-Length", "0")])
            return []
        return self.app(environ, start_response)

    def client(self) -> RegistryClient:
        """A client as the scanner's account."""
        return RegistryClient(self.url, lambda: id_token(email=ACCOUNT, aud=self.url), self.waits.append)


@contextmanager
def serving_scanner(world: FakeIamWorld, registry: Registry, folder: Path) -> Iterator[ScannerServer]:
    """Serve a registry to the scanner until the block ends."""
    publish_certificates(world)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {"LADING_ACCESS": f"gs://{BUCKET}", "LADING_SCANNER": ACCOUNT, "LADING_URL": url}
    read = load_settings({**environment, "LADING_DATA": str(folder)})
    served = ScannerServer(url, App(registry, read, open_authenticator(read, registry.metadata)))
    server = make_server("127.0.0.1", port, served, threaded=True)
    with server, running(server):
        yield served


class SignedStore(ThreadingHTTPServer):
    """The host of signed URLs, which sends the same content to all, and remembers the headers of requests."""

    def __init__(self, content: bytes, cut: int = 0) -> None:
        """Send `content`, without its last `cut` bytes."""
        super().__init__(("127.0.0.1", 0), _Signed)
        self.content, self.cut = content, cut
        self.headers: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """A signed URL."""
        return f"http://127.0.0.1:{self.server_port}/object?signature=secret"


class _Signed(BaseHTTPRequestHandler):
    server: SignedStore

    def do_GET(self) -> None:
        self.server.headers.append(dict(self.headers.items()))
        content = self.server.content
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) - self.server.cut])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def running(server: Any) -> Iterator[Any]:
    """Run a server in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
