"""The parts of granian that are not its public interface, by name: what an upgrade breaks shows here first.

functions/lading/server/serve.py and tls_trial.py alone use them. A failure means: read the release's notes, and compare
`SingleProcessServer` with granian.server.mt.MTServer.
"""

import inspect
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from granian import _futures, _granian, _loops
from granian.server.common import AbstractServer
from granian.server.mt import MTServer, WorkerThread
from granian.wsgi import ResponseIterWrap

import lading
import lading_storage
from lading.server.serve import SSL_OPTIONS, SingleProcessServer

RELEASE = "2.8"
"""Whose internals serve.py was compared with."""

WORKER = {
    *("worker_id", "sock", "ipc", "threads", "blocking_threads", "py_threads", "py_threads_idle_timeout"),
    *("backpressure", "http_mode", "http1_opts"),
    *(f"ssl_{name}" for name in SSL_OPTIONS),
}
"""What WSGIWorker is given."""

native: Any = _granian


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def test_the_release_is_the_one_that_was_compared() -> None:
    assert version("granian").rpartition(".")[0] == RELEASE


def test_the_worker_takes_what_it_is_given() -> None:
    assert parameters(native.WSGIWorker) >= WORKER
    assert parameters(native.WSGIWorker.serve_str) >= {"callback", "event_loop", "signal"}


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (native, "SocketHolder"),
        (native.WorkerSignal, "add_cb"),
        (native.WorkerSignal, "set"),
        (_futures, "_new_cbscheduler"),
        (_loops, "loops"),
        (_loops, "close_active_loop"),
        (MTServer, "_init_shared_socket"),
        (MTServer, "_check_gil"),
        (ResponseIterWrap, "__next__"),
        (ResponseIterWrap, "close"),
    ],
)
def test_what_is_used_is_there(owner: Any, name: str) -> None:
    assert hasattr(owner, name)


def test_what_is_overridden_has_the_same_parameters() -> None:
    assert parameters(MTServer._spawn_worker) == parameters(SingleProcessServer._spawn_worker)
    assert parameters(WorkerThread.__init__) == {"self", "parent", "idx", "target", "args", "sig"}
    assert parameters(AbstractServer.serve) >= {"target_loader", "wrap_loader"}


def test_tls_has_so_many_values() -> None:
    server = MTServer("x")

    assert len(server.ssl_ctx) == len(SSL_OPTIONS)


def test_only_two_files_know_granian() -> None:
    users = {
        path.name
        for package in (lading, lading_storage)
        for path in Path(package.__path__[0]).rglob("*.py")
        if "import granian" in (text := path.read_text()) or "from granian" in text
    }

    assert users == {"serve.py", "tls_trial.py"}
