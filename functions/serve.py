"""`lading serve`: the app under granian, in this one process.

granian's own way is a parent that watches over a worker process. Here one process is better: it needs half the memory,
and `kill -9` leaves no worker behind that would go on serving. So the worker runs in a thread, as granian does it on
Pythons without a global lock; with the lock it works as well, since its own threads are not Python's.
"""

import contextlib
import gc
import threading
import time
from typing import Final

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings, HTTP2Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer
from granian.server.mt import MTServer

from functions.api.connections import drop_idle
from functions.app import App
from functions.settings import Settings

HEADER_PATIENCE: Final = 30_000
"""Milliseconds within which a client must have sent its headers."""

HEADERS: Final = 32 * 1024
"""Bytes that a request's headers may have: several times what the longest token has."""

CONNECTIONS: Final = 4096
"""At a time. With all of them full of headers that never end, the process is still below 256 MiB."""

IDLE: Final = 3600.0
"""Seconds after which a connection that was answered, and over which nothing moves, goes: longer than any request."""

SWEEP: Final = 10.0
"""Seconds between looks for connections that are of no use."""

THREADS_GO_AFTER: Final = 5
"""Seconds without work, granian's least: the fewer threads wait, the warmer is the one that is woken."""

LOOK_UP: Final = 0.5
"""Seconds after which the main thread looks whether a signal has come."""


class LookingUp(threading.Event):
    """An event whose waiter looks up now and then.

    Python's signal handlers run in the main thread alone, and a signal that the kernel gives to another wakes nobody.
    """

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the event is set."""
        while not super().wait(LOOK_UP):
            pass
        return True


class OneProcess(MTServer):
    """granian with its worker in a thread of this process."""

    def _check_gil(self) -> None:
        """Both with and without a global lock will do."""

    def serve_app(self, app: App) -> None:
        """Serve until SIGTERM or SIGINT, then finish what runs."""
        self.main_loop_interrupt = LookingUp()
        # Past MTServer.serve, which only warns of what is said above.
        AbstractServer.serve(self, target_loader=lambda: app, wrap_loader=False)


def serve(app: App, settings: Settings) -> None:
    """Serve `app` at the address of the settings, HTTP/1.1 and h2c (or both over TLS) on one port, until SIGTERM."""
    server = OneProcess(
        "functions.app",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.auto,
        blocking_threads=settings.threads,
        blocking_threads_idle_timeout=THREADS_GO_AFTER,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_PATIENCE, max_buffer_size=HEADERS),
        http2_settings=HTTP2Settings(max_headers_size=HEADERS),
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        log_level=LogLevels.error,
    )
    # What is there now stays. To look through it for garbage again and again would cost a tenth of a pull.
    gc.collect()
    gc.freeze()
    _take_descriptors()
    threading.Thread(target=_sweep, args=[settings.port], name="sweep", daemon=True).start()
    with contextlib.closing(app.registry):
        server.serve_app(app)


def _take_descriptors() -> None:
    """As many as the connections may need, where the system lets us."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * CONNECTIONS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _sweep(port: int) -> None:
    """Drop idle connections for ever: granian waits for a first word without end, and over HTTP/2 for a second one."""
    while True:
        time.sleep(SWEEP)
        drop_idle(port, HEADER_PATIENCE / 1000, IDLE)
