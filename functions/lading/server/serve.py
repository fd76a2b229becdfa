"""`lading serve`: the app under granian, in this one process.

granian's own way is a parent that watches over a worker process. Here one process is better: it needs half the memory,
and `kill -9` leaves no worker behind that would go on serving. So the worker runs in a thread, as granian does it on
Pythons without a global lock; with the lock it works as well, since its own threads are not Python's.

The thread model, drawn here once; the modules in brackets have the details:

    main           waits for signals, starts and replaces workers (signal_event)
    worker-N       one for each listener: runs granian's runtime until it is told to stop
      runtime      one for each worker, granian's own, without the interpreter's lock: accepts connections, speaks HTTP
                   and TLS, moves bytes between sockets and the threads below
      pool         up to `threads` Python threads for each worker, begun as they are needed: each runs a Runner for a
                   request, from its headers to the last piece of its answer
        leader     the one of the pool that takes the next request (desk): rights, reads of SQLite, short answers
        others     have stepped down before they wait for a disk, a client or the network (desk.leave); when they are
                   done, they wait to be the leader again
    body           one for each request whose body is read: two pieces ahead of its thread of the pool (api.bodies)
    sweep          drops connections that are of no use (api.connections)
    certificate    looks for a new certificate (listener)
    collect        collects garbage from time to time (jobs.background)

Where a store is in a cloud there is no leader: each thread of the pool takes requests, since each waits for answers.

What bounds the pool, so that no client has all of it: slots for requests with a body, in all and for one principal
(api.slots); an eighth of the threads for reading what nobody wants (App._places); two searches through many records at
a time (auth.bulkhead); three quarters of the threads for large answers to unauthenticated clients (api.outgoing).

What ends waiting: HEADER_TIMEOUT_MS for headers; the setting `body_timeout` for a body that stands still; STUCK, or
PAUSED for authenticated clients, for an answer of which nothing is taken; IDLE for connections, and less in a CROWD and
at the end. A read of granian's cannot be interrupted: what ends it is that its connection is dropped.

granian holds a body until the thread of its request comes back, so a thread never waits to be the leader while its body
is unread. Threads of the pool do not end where there is a leader: one that ended as the leader would take that with it.
"""

import contextlib
import gc
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, Final

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
from lading.http.streaming import ResponseStreams
from lading.http.tcp_info import StalledResponses, close_unused
from lading.server.leader import Leader, begin_request, log_held, step_down
from lading.server.listener import BACKLOG, Certificate
from lading.server.signal_event import PollingEvent
from lading.settings import Settings

log = logging.getLogger("lading")

native: Any = _granian
"""Of another release than its stubs."""

SSL_OPTIONS: Final = ("enabled", "cert", "key", "key_password", "protocol_min", "ca", "crl", "client_verify")
"""What `AbstractServer.ssl_ctx` has, in its order."""

HEADER_TIMEOUT_MS: Final = 30_000
"""Milliseconds within which a client must have sent its headers."""

READ_BUFFER_SIZE: Final = 64 * 1024
"""Bytes that are read at a time from a connection, and the most that a request's headers may have.

docker, and whatever else is written in Go, uploads in chunks of 32 KiB and a few bytes. A chunk that is read in two
parts is handed from thread to thread twice, and that is what an upload's time goes into.
"""

MAX_CONNECTIONS: Final = 2048
"""At a time. With all of them full of headers that never end, the process is still below 256 MiB."""

PRESSURE_THRESHOLD: Final = MAX_CONNECTIONS * 3 // 4
"""From so many connections on, those that are of no use go sooner."""

IDLE_TIMEOUT: Final = 3600.0
"""Seconds after which a connection that was answered, and over which nothing moves, goes: longer than any request."""

IDLE_TIMEOUT_UNDER_PRESSURE: Final = 120.0
"""… there: longer than a client may let a body or an answer stand still, so that no transfer is cut off."""

FIRST_REQUEST_TIMEOUT_UNDER_PRESSURE: Final = 1.0
"""Seconds for a first word there."""

IDLE_TIMEOUT_AT_SHUTDOWN: Final = 10.0
"""… and once the server is told to end: a client that keeps silent would hold it up."""

SWEEP_INTERVAL: Final = 2.0
"""Seconds between looks for connections that are of no use."""

STALLED_RESPONSE_TIMEOUT: Final = 60.0
"""Seconds after which an answer goes with its connection of which the client takes nothing."""

PAUSED_DOWNLOAD_TIMEOUT: Final = 3600.0
"""… where the client is authenticated, and no more are paused than threads are left for others: as long as IDLE."""

IDLE_THREAD_TIMEOUT: Final = 5
NO_TIMEOUT: Final = 10 * 365 * 24 * 3600
"""Seconds."""

WSGI_ENVIRON: Final = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}
"""What WSGI says of each (PEP 3333), beside what granian says of this one."""


class RequestCallback:
    """What granian calls for each request: the app, and the desk where threads take turns."""

    def __init__(self, app: App, leader: Leader | None) -> None:
        """Run `app`; without a desk, as many answer at a time as there are threads."""
        self.app = app
        self.leader = leader

    def __call__(self, protocol: Any, scope: dict[str, Any]) -> None:
        """Answer one request, and come back when this thread may take the next one."""
        environ = WSGI_ENVIRON | scope
        begin_request()
        has_unread = self._respond(protocol, environ)
        log_held(str(environ["REQUEST_METHOD"]))
        # The buffers of the body are in both, and a cycle of references may hold one of them.
        scope.clear()
        environ.clear()
        # granian itself holds the body until this thread comes back, and until the body is gone, hyper keeps a
        # connection open of whose request it has not read all. So that thread never waits here.
        if self.leader and not has_unread:
            self.leader.acquire()

    def _respond(self, protocol: Any, environ: dict[str, Any]) -> bool:
        """Answer the request; return whether the connection must end, since not all of the body was read."""
        answer = self.app.respond(request_of(environ))
        has_unread = CLOSE_HEADER in answer.headers
        if isinstance(answer.content, bytes):
            answer.close()
            protocol.response_bytes(answer.status, answer.headers, answer.content)
        else:
            step_down()
            pieces = ResponseIterWrap(answer)  # type: ignore[no-untyped-call]
            protocol.response_iter(answer.status, answer.headers, pieces)
        return has_unread


class SingleProcessServer(MTServer):
    """granian with its workers in threads of this process."""

    def __init__(self, listeners: Sequence[socket.socket], certificate: Certificate, **options: Any) -> None:
        """Serve the connections of `listeners`, with a worker for each; they are closed when the server is told to end.

        SIGHUP, and a change of the `certificate`, replace a worker by one that reads the certificate again. Both have
        the listener for that moment, so no connection is refused, and the first one ends what it has begun.
        """
        super().__init__("lading.app", workers=len(listeners), respawn_interval=0.0, **options)
        self._listeners = listeners
        self._certificate = certificate
        self._replaced: list[WorkerThread] = []
        self._stopping = threading.Event()

    def _init_shared_socket(self) -> None:
        """Leave granian's own out: it would share its port with any other process that asks for it."""
        self._ssp = self._shd = None

    def _holder(self, idx: int) -> Any:
        """Return its listener for one worker, which closes its own descriptor of it when it ends."""
        backlog = (BACKLOG,) if sys.platform == "linux" else ()
        return native.SocketHolder(self._listeners[idx].dup().detach(), False, *backlog)

    def signal_handler_interrupt(self, *args: Any, **kwargs: Any) -> None:
        """End, and refuse connections from now on."""
        for listener in self._listeners:
            listener.close()
        super().signal_handler_interrupt(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _reload(self, spawn_target: Any, target_loader: Any) -> None:
        """Read the certificate again, unless it cannot be served."""
        self.reload_signal = False
        self.main_loop_interrupt.clear()
        if self.interrupt_signal:
            self.main_loop_interrupt.set()  # after granian has looked, and before it was cleared here
        elif self._certificate.can_be_served():
            self._replace_workers(spawn_target, target_loader)

    def _replace_workers(self, spawn_target: Any, target_loader: Any) -> None:
        old, self.wrks = self.wrks, []
        self._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]
        for worker in old:
            worker.terminate()  # type: ignore[no-untyped-call]
        # Transfers may take an hour: not waited for here, where the end and the next certificate would wait, too.
        self._replaced = [worker for worker in (*self._replaced, *old) if worker.inner.is_alive()]
        log.info("the certificate was read again")

    def _stop_workers(self) -> None:
        """End the workers, and wait for them and those before. Each is told once: granian hangs at a second time."""
        for worker in self.wrks:
            worker.interrupt_by_parent = True  # else the end of one that could not begin is a fault
        self._stopping.set()
        super()._stop_workers()  # type: ignore[no-untyped-call]
        for worker in self._replaced:
            worker.join()  # type: ignore[no-untyped-call]

    def _check_gil(self) -> None:
        """Both with and without a global lock will do."""

    def _spawn_worker(  # type: ignore[override]  # as MTServer's
        self, idx: int, target: Any, callback_loader: RequestCallback
    ) -> WorkerThread:
        stop = native.WorkerSignal()
        return WorkerThread(self, idx, self._work, (idx, callback_loader, stop), stop)  # type: ignore[no-untyped-call]

    def _work(self, idx: int, runner: RequestCallback, stop: Any) -> None:
        """What the worker's thread does: serve until `stop`. As MTServer has it, but for the threads, and who calls."""
        stopped = threading.Event()
        stop.add_cb(stopped.set)
        try:
            holder = self._holder(idx)
        except OSError:
            if not self.interrupt_signal:
                raise
            self._stopping.wait()  # the listener was closed, to end, before this worker could begin
            return
        # A worker's own: threads of one that ends must not keep another's waiting.
        desk = Leader() if runner.leader else None
        worker = native.WSGIWorker(
            idx + 1,
            (None, holder),
            None,
            threads=1,
            blocking_threads=self.runtime_blocking_threads,
            py_threads=self.blocking_threads,
            py_threads_idle_timeout=NO_TIMEOUT if runner.leader else IDLE_THREAD_TIMEOUT,
            backpressure=self.backpressure,
            http_mode=self.http,
            http1_opts=self.http1_settings,
            **{f"ssl_{name}": value for name, value in zip(SSL_OPTIONS, self.ssl_ctx, strict=True)},
        )
        loop = loops.get(self.loop)
        try:
            scheduler = _new_cbscheduler(loop, RequestCallback(runner.app, desk))  # type: ignore[no-untyped-call]
            # One thread of granian's own for all connections: where several share them, each piece of a body, and each
            # answer, wakes another one that finds nothing to do.
            worker.serve_str(scheduler, loop, stop)
            stopped.wait()
            if desk:
                desk.close()
        finally:
            close_active_loop(loop)

    def serve_app(self, runner: RequestCallback) -> None:
        """Serve until SIGTERM or SIGINT, then finish what runs."""
        self.main_loop_interrupt = PollingEvent()
        # Past MTServer.serve, which only warns of what is said above.
        AbstractServer.serve(self, target_loader=lambda: runner, wrap_loader=False)


def serve(
    app: App, settings: Settings, listeners: Sequence[socket.socket], background: AbstractContextManager[object]
) -> None:
    """Serve `app` over `listeners` until SIGTERM: HTTP/1.1, over TLS where there is a certificate.

    HTTP/2 is the work of a proxy in front. granian's WSGI body reader does not return when a stream is reset (2.8).
    What works `background` it, on the same registry, ends before the registry is closed.
    """
    certificate = Certificate(settings)
    server = SingleProcessServer(
        listeners,
        certificate,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        blocking_threads=settings.threads,
        backpressure=MAX_CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_TIMEOUT_MS, max_buffer_size=READ_BUFFER_SIZE),
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        log_level=LogLevels.error,
    )
    # What it has to say belongs to our log, in its form.
    logging.getLogger("_granian").handlers = log.handlers
    # What is there now stays. To look through it for garbage again and again would cost a tenth of a pull.
    gc.collect()
    gc.freeze()
    _raise_descriptor_limit()
    # Where each answer waits for a cloud, nobody can be alone at a desk.
    runner = RequestCallback(app, Leader() if settings.embedded else None)
    threading.Thread(
        target=_sweep_connections,
        args=[settings.port, app.response_streams, lambda: server.interrupt_signal],
        name="sweep",
        daemon=True,
    ).start()
    if certificate.files:
        threading.Thread(
            target=certificate.watch, args=[server.signal_handler_reload], name="certificate", daemon=True
        ).start()
    with contextlib.closing(app.registry), background:
        server.serve_app(runner)


def _raise_descriptor_limit() -> None:
    """As many as the connections may need, where the system lets us."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * MAX_CONNECTIONS if hard == resource.RLIM_INFINITY else min(hard, 2 * MAX_CONNECTIONS)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _sweep_connections(port: int, response_streams: ResponseStreams, is_stopping: Callable[[], bool]) -> None:
    """Drop connections that are of no use until the process `is_stopping`: granian waits without end for each of these.

    Args:
        port: of the server.
        response_streams: knows which downloads may be paused.
        is_stopping: whether the server has been told to stop.
    """
    answers = StalledResponses(port)
    while True:
        time.sleep(SWEEP_INTERVAL)
        if is_stopping():
            close_unused(port, 0, IDLE_TIMEOUT_AT_SHUTDOWN)
            continue
        try:
            _sweep_once(port, response_streams, answers)
        except Exception:
            log.exception("connections that are of no use could not be dropped; trying again")


def _sweep_once(port: int, response_streams: ResponseStreams, answers: StalledResponses) -> None:
    if close_unused(port, HEADER_TIMEOUT_MS / 1000, IDLE_TIMEOUT) > PRESSURE_THRESHOLD:
        close_unused(port, FIRST_REQUEST_TIMEOUT_UNDER_PRESSURE, IDLE_TIMEOUT_UNDER_PRESSURE)
    answers.close_stalled(
        STALLED_RESPONSE_TIMEOUT,
        partial(response_streams.paused, seconds=STALLED_RESPONSE_TIMEOUT / 2),
        PAUSED_DOWNLOAD_TIMEOUT,
    )
