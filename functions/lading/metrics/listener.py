"""The listener that Prometheus scrapes: /metrics, and nothing else, at an address of its own.

It has threads of its own, beside those of granian's pool, so that no client of one delays one of the other. A client
that sends or reads nothing holds a thread until READ_TIMEOUT, or until MAX_CONNECTIONS newer ones have come: the oldest
is closed then, so that a scrape is always accepted.
"""

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from lading.http.request_checks import MAX_HOST, host_name
from lading.loopback import CONTAINER_HOSTS, is_loopback

PATH: Final = "/metrics"

MAX_CONNECTIONS: Final = 32
"""Concurrent connections. Prometheus has one; each of the others costs a thread."""

READ_TIMEOUT: Final = 5
"""Seconds that a read or write may take."""

_REASONS: Final = {
    HTTPStatus.NOT_FOUND: f"The metrics are at {PATH}.\n".encode(),
    HTTPStatus.FORBIDDEN: b"This listener of loopback is reached as localhost, 127.0.0.1 or [::1].\n",
}

log = logging.getLogger("lading")


class MetricsServer(ThreadingHTTPServer):
    """The server of one listener."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, listener: socket.socket, exposition: Callable[[], bytes]) -> None:
        """Serve what `exposition` returns to the connections of `listener`."""
        super().__init__(listener.getsockname()[:2], MetricsRequest, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.exposition = exposition
        self.loopback_only = is_loopback(listener.getsockname()[0])
        self._open: dict[socket.socket, None] = {}
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread; end the oldest one where there are too many."""
        with self._lock:
            self._open[request] = None
            oldest = next(iter(self._open)) if len(self._open) > MAX_CONNECTIONS else None
            if oldest is not None:
                del self._open[oldest]
                # Its thread ends with the error, and closes it.
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what ended a connection; a client that disconnects is no error."""
        log.debug("a connection for metrics ended", exc_info=True)


class MetricsRequest(BaseHTTPRequestHandler):
    """One request for metrics. The connection ends with it (HTTP/1.0)."""

    timeout = READ_TIMEOUT
    server: MetricsServer

    def do_GET(self) -> None:  # the name that http.server calls
        """Send the metrics."""
        self._send_headers()
        self.wfile.write(self._content())

    def do_HEAD(self) -> None:  # the name that http.server calls
        """Send the headers."""
        self._send_headers()

    def version_string(self) -> str:
        """Return the value of the header Server."""
        return "Lading"

    def log_message(self, format: str, *args: Any) -> None:
        """Write no access log."""

    def _status(self) -> HTTPStatus:
        if self.server.loopback_only and not self._is_local():
            return HTTPStatus.FORBIDDEN
        return HTTPStatus.OK if self.path.partition("?")[0] == PATH else HTTPStatus.NOT_FOUND

    def _is_local(self) -> bool:
        """Return whether no web page sent the request, whose own name may resolve to this machine (DNS rebinding)."""
        host = self.headers.get("Host")
        if host is None:
            return True
        name = host_name(host) if len(host) <= MAX_HOST else ""
        return is_loopback(name) or name in CONTAINER_HOSTS

    def _content(self) -> bytes:
        return self.server.exposition() if self._status() == HTTPStatus.OK else _REASONS[self._status()]

    def _send_headers(self) -> None:
        status = self._status()
        self.send_response(status)
        content_type = CONTENT_TYPE_PLAIN_0_0_4 if status == HTTPStatus.OK else "text/plain; charset=utf-8"
        self.send_header("Content-Type", content_type)
        self.end_headers()


@contextlib.contextmanager
def serve_metrics(listeners: Sequence[socket.socket], exposition: Callable[[], bytes]) -> Iterator[None]:
    """Serve metrics over `listeners` until the block ends."""
    servers = [MetricsServer(listener, exposition) for listener in listeners]
    for server in servers:
        threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
