"""`lading serve`: the app under granian, in a single process.

granian's own process model is a parent that supervises a worker process. A single process is better here: it needs
half the memory, and `kill -9` leaves no orphaned worker that goes on serving. So the worker runs in a thread, as
granian runs it on free-threaded Pythons; it works with the global lock as well, since granian's own threads are not
Python's.

The thread model, drawn here once; the modules in brackets have the details:

    main           waits for signals, starts and replaces workers (signal_event)
    worker-N       one for each listener: runs granian's runtime until it is stopped
      runtime      one for each worker, granian's own, without the interpreter's lock: accepts connections, speaks HTTP
                   and TLS, moves bytes between sockets and the threads below
      pool         up to `threads` Python threads for each worker, started on demand: each runs a RequestCallback for a
                   request, from its headers to the last chunk of its response
        leader     the thread of the pool that takes the next request (leader): access, reads of SQLite, short responses
        followers  have stepped down before they wait for a disk, a client or the network (leader.step_down); when
                   their request is done, they wait to become the leader again
    body           one for each request whose body is read: two chunks ahead of its thread of the pool
                   (http.request_body)
    sweep          closes connections of no further use (connection_sweeper)
    certificate    watches for a new certificate (certificate)
    collect        collects garbage at intervals (jobs.background)
    metrics        with --metrics, accepts scrapes; each has a thread of its own (metrics.listener)

With stores in a cloud there is no leader: each thread of the pool takes requests, since each waits for the network.

What limits the pool, so that no client takes all of it: a budget of three quarters of the threads for slow clients
(http.thread_budget), which are those that send a body, also for each principal (http.body_slots), unauthenticated ones
with a large response (http.streaming), and those that wait for events (http.poll_slots); a limit for principals that do
not read their responses (http.streaming); an eighth of the threads for draining unwanted bodies (App._drain_slots); two
concurrent searches through many records (auth.bulkhead).

The timeouts: HEADER_TIMEOUT for headers; the setting `body_timeout` for a body that stalls; STALLED_RESPONSE_TIMEOUT,
or PAUSED_DOWNLOAD_TIMEOUT for authenticated clients, for a response that its client does not read; IDLE_TIMEOUT for
connections, and shorter ones under pressure and at shutdown. A read of granian's cannot be interrupted: it ends when
its connection is closed.

granian holds a body until the thread of its request returns, so a thread never waits to be the leader while its body is
unread. Where there is a leader, threads of the pool do not end: one that ended as the leader would take that position
with it.
"""

import contextlib
import gc
import logging
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from granian import _granian
from granian._futures import _new_cbscheduler
from granian._loops import close_active_loop, loops
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import AbstractServer
from granian.server.mt import MTServer, WorkerThread
from granian.wsgi import ResponseIterWrap

from lading.app import CLOSE_HEADER, App, request_of
from lading.leader import Leader, begin_request, log_held, step_down
from lading.server.certificate import Certificate, Copies
from lading.server.connection_sweeper import HEADER_TIMEOUT, MAX_CONNECTIONS, sweep_connections
from lading.server.listener import BACKLOG
from lading.server.signal_event import PollingEvent
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.background import BackgroundJob

log = logging.getLogger("lading")

native: Any = _granian
"""Untyped, since its stubs are those of another release."""

SSL_OPTIONS: Final = ("enabled", "cert", "key", "key_password", "protocol_min", "ca", "crl", "client_verify")
"""The items of `AbstractServer.ssl_ctx`, in its order."""

READ_BUFFER_SIZE: Final = 64 * 1024
"""Bytes of one read from a connection, and the maximum size of a request's headers.

docker, like other programs written in Go, uploads in chunks of 32 KiB and a few bytes. A chunk that is read in two
parts is passed from thread to thread twice, and that is where the time of an upload goes.
"""

IDLE_THREAD_TIMEOUT: Final = 5
NO_TIMEOUT: Final = 10 * 365 * 24 * 3600
"""Seconds after which an idle thread of the pool ends: without a leader, and with one."""

WSGI_ENVIRON: Final = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
"""WSGI variables that are the same for every request (PEP 3333); granian's scope has the others."""


class RequestCallback:
    """The callable that granian calls for each request."""

    def __init__(self, app: App, leader: Leader | None) -> None:
        """Run `app`. Without a `leader`, all threads take requests."""
        self.app = app
        self.leader = leader

    def __call__(self, protocol: Any, scope: dict[str, Any]) -> None:
        """Respond to one request; return when this thread may take the next one."""
        environ = WSGI_ENVIRON | scope
        begin_request()
        has_unread = self._respond(protocol, environ)
        log_held(str(environ["REQUEST_METHOD"]))
        # Both reference the buffers of the body, and a reference cycle may keep one of them alive.
        scope.clear()
        environ.clear()
        # granian holds the body until this thread returns, and until the body is freed, hyper keeps the connection of a
        # request open that it has not read to its end. So a thread with an unread body never waits here.
        if self.leader and not has_unread:
            self.leader.acquire()

    def _respond(self, protocol: Any, environ: dict[str, Any]) -> bool:
        """Send the response; return whether the connection must end, since part of the body is unread."""
        response = self.app.respond(request_of(environ))
        has_unread = CLOSE_HEADER in response.headers
        if isinstance(response.content, bytes):
            response.close()
            protocol.response_bytes(response.status, response.headers, response.content)
        else:
            step_down()
            with contextlib.closing(response):
                chunks = ResponseIterWrap(response)  # type: ignore[no-untyped-call]
                protocol.response_iter(response.status, response.headers, chunks)
        return has_unread


class SingleProcessServer(MTServer):
    """granian with its workers in threads of this process."""

    def __init__(
        self, listeners: Sequence[socket.socket], certificate: Certificate, on_stop: Callable[[], None], **options: Any
    ) -> None:
        """Serve the connections of `listeners`, with a worker for each; the shutdown closes them, and calls `on_stop`.

        SIGHUP, or a change of the `certificate`, replaces each worker by one that reads the certificate again. Both
        workers share the listener meanwhile, so no connection is refused, and the old one finishes its requests. Only a
        connection that is in its TLS handshake at that moment may be cut: 11 of 925 were, in 25 reloads. granian's
        acceptor drops its handshakes when it ends, and cannot stop accepting before it ends (2.8).
        """
        super().__init__("lading.app", workers=len(listeners), respawn_interval=0.0, **options)
        self._listeners = listeners
        self._certificate = certificate
        self._on_stop = on_stop
        self._replaced: list[WorkerThread] = []
        self._stopping = threading.Event()

    def _init_shared_socket(self) -> None:
        """Create no socket of granian's own: any other process could bind the same port (SO_REUSEPORT)."""
        self._ssp = self._shd = None

    def _holder(self, idx: int) -> Any:
        """Return the listener of one worker, with a descriptor that the worker closes when it ends."""
        backlog = (BACKLOG,) if sys.platform == "linux" else ()
        return native.SocketHolder(self._listeners[idx].dup().detach(), False, *backlog)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """Begin the shutdown, and refuse connections from now on."""
        for listener in self._listeners:
            listener.close()
        self._on_stop()
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """Reload the certificate, unless it cannot be served."""
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        if self.interrupt_signal:
            self.main_loop_interrupt.set()  # set after granian's check and cleared above
        elif self._certificate.reload():
            self._replace_workers(spawn_target, target_loader)

    def _replace_workers(self, spawn_target: Any, target_loader: Any) -> None:
        old, self.wrks = self.wrks, []
        self._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]
        for worker in old:
            worker.terminate()  # type: ignore[no-untyped-call]
        # Transfers may take an hour. Waiting for them here would delay the shutdown and the next certificate.
        self._replaced = [worker for worker in (*self._replaced, *old) if worker.inner.is_alive()]
        log.info("the certificate was reloaded")

    def _stop_workers(self) -> None:
        """Stop the workers, and join them and those they replaced. Each is stopped once: granian hangs on a second."""
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # else granian takes the end of one that could not begin for a failure
        self._stopping.set()
        super()._stop_workers()  # type: ignore[no-untyped-call]
        for worker in self._replaced:
            worker.join()  # type: ignore[no-untyped-call]

    def _check_gil(self) -> None:
        """Accept Pythons with and without a global lock."""

    def _spawn_worker(  # type: ignore[override]  # as MTServer's
        self, idx: int, target: Any, callback_loader: RequestCallback
    ) -> WorkerThread:
        stop = native.WorkerSignal()
        return WorkerThread(self, idx, self._work, (idx, callback_loader, stop), stop)  # type: ignore[no-untyped-call]

    def _work(self, idx: int, runner: RequestCallback, stop: Any) -> None:
        """Serve until `stop`, in the worker's thread. Like MTServer's, except for the threads and the callback."""
        stopped = threading.Event()
        stop.add_cb(stopped.set)
        try:
            holder = self._holder(idx)
        except OSError:
            if not self.interrupt_signal:
                raise
            self._stopping.wait()  # the shutdown has closed the listener before this worker could begin
            return
        # One for each worker: threads of a worker that ends must not make those of another wait.
        leader = Leader() if runner.leader else None
        loop = loops.get(self.loop)
        scheduler = _new_cbscheduler(loop, RequestCallback(runner.app, leader))  # type: ignore[no-untyped-call]
        try:
            # It has read the certificate when it returns.
            with self._certificate.copies() as copies:
                self._native_worker(idx, holder, leader, copies).serve_str(scheduler, loop, stop)
            stopped.wait()
            if leader:
                leader.close()
        finally:
            close_active_loop(loop)

    def _native_worker(self, idx: int, holder: Any, leader: Leader | None, certificate: Copies) -> Any:
        """Return granian's worker, with a certificate where there is one."""
        tls = {f"ssl_{name}": value for name, value in zip(SSL_OPTIONS, self.ssl_ctx, strict=True)}
        if self._certificate.exists:
            tls |= {"ssl_enabled": True, "ssl_cert": certificate.cert, "ssl_key": certificate.key}
        return native.WSGIWorker(
            idx + 1,
            (None, holder),
            None,
            # One runtime thread for all connections: with several, each chunk of a body and each response wakes
            # another thread that finds nothing to do.
            threads=1,
            blocking_threads=self.runtime_blocking_threads,
            py_threads=self.blocking_threads,
            py_threads_idle_timeout=NO_TIMEOUT if leader else IDLE_THREAD_TIMEOUT,
            backpressure=self.backpressure,
            http_mode=self.http,
            http1_opts=self.http1_settings,
            **tls,
        )

    def serve_app(self, runner: RequestCallback) -> None:
        """Serve until SIGTERM or SIGINT, then finish the running requests."""
        self.main_loop_interrupt = PollingEvent()
        # Bypasses MTServer.serve, which only warns of a global lock.
        AbstractServer.serve(self, target_loader=lambda: runner, wrap_loader=False)


def serve(
    app: App,
    settings: Settings,
    listeners: Sequence[socket.socket],
    certificate: Certificate,
    background: "Sequence[BackgroundJob]",
) -> None:
    """Serve `app` over `listeners` until SIGTERM: HTTP/1.1, over TLS where there is a certificate.

    HTTP/2 is left to a reverse proxy: granian's WSGI body reader does not return when a stream is reset (2.8).

    Args:
        app: the app; its registry is closed at the end.
        settings: host, port and threads.
        listeners: sockets that listen.
        certificate: read and tried, for TLS.
        background: jobs on the same registry; they end before the registry is closed.
    """
    server = _server(settings, listeners, certificate, app.end_polls)
    # granian's messages go to Lading's log, in its format.
    logging.getLogger("_granian").handlers = log.handlers
    # Objects of the start live as long as the process. To scan them in each collection would cost a tenth of a pull.
    gc.collect()
    gc.freeze()
    _raise_descriptor_limit()
    # With stores in a cloud each response waits for the network, and a single leader would serialize them.
    runner = RequestCallback(app, Leader() if settings.embedded else None)
    _start_threads(server, app, settings.port, certificate)
    with contextlib.closing(app.registry), contextlib.ExitStack() as jobs:
        for job in background:
            jobs.enter_context(job)
        # Called before any of them is waited for.
        for job in background:
            jobs.callback(job.request_stop)
        server.serve_app(runner)


def _start_threads(server: SingleProcessServer, app: App, port: int, certificate: Certificate) -> None:
    """Start the threads that close idle connections and reload a certificate; they end with the process."""
    threading.Thread(
        target=sweep_connections,
        args=[port, app.response_streams, lambda: server.interrupt_signal],
        name="sweep",
        daemon=True,
    ).start()
    if certificate.exists:
        threading.Thread(
            target=certificate.watch, args=[server.signal_handler_reload], name="certificate", daemon=True
        ).start()


def _server(
    settings: Settings,
    listeners: Sequence[socket.socket],
    certificate: Certificate,
    on_stop: Callable[[], None],
) -> SingleProcessServer:
    return SingleProcessServer(
        listeners,
        certificate,
        on_stop,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        blocking_threads=settings.threads,
        backpressure=MAX_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=int(HEADER_TIMEOUT * 1000), max_buffer_size=READ_BUFFER_SIZE),
        log_level=LogLevels.error,
    )


def _raise_descriptor_limit() -> None:
    """Raise the limit of open files to what MAX_CONNECTIONS may need, as far as the system permits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = 2 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * MAX_CONNECTIONS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, target), hard))
