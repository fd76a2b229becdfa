"""Endpoints of webhooks: an HTTP server that records what it receives, and a socket that sends anything."""

import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext


@dataclass(frozen=True)
class Received:
    """A request: its path, its headers by their names in lower case, and its body."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Receiver:
    """Endpoint of webhooks.

    url        of the endpoint
    received   the requests, in the order of their arrival
    respond    returns the status and the headers of a response; it may block
    """

    url: str
    received: list[Received] = field(default_factory=list)
    respond: Callable[[Received], tuple[int, Mapping[str, str]]] = lambda _: (204, {})

    def always(self, status: int, headers: Mapping[str, str] | None = None) -> None:
        """Respond with one status from now on."""
        self.respond = lambda _: (status, headers or {})


@contextmanager
def receiver(certificate: tuple[Path, Path] | None = None, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """Run an endpoint, over TLS with a certificate and its key."""
    opened = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            request = Received(self.path, {name.lower(): text for name, text in self.headers.items()}, body)
            opened.received.append(request)
            status, headers = opened.respond(request)
            with suppress(OSError):
                self.send_response(status)
                for name, text in {"Content-Length": "0", **headers}.items():
                    self.send_header(name, text)
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    if certificate:
        context = SSLContext(PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    opened.url = f"{'https' if certificate else 'http'}://{host}:{server.server_port}/hook"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield opened
    server.shutdown()
    server.server_close()


@contextmanager
def raw_endpoint(talk: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Run an endpoint that calls `talk` for each connection, with an event that is set at the end; yield its port."""
    ending = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection, ending)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        ending.set()
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
