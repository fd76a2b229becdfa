"""Fork server: a process that has imported all of Lading, and forks for each run of the command.

A run is a process of its own, with the arguments, environment, folder, umask and files that it is given, as `python -m
lading.cli` is; it saves the start of Python and the imports, 0.4 s of CPU time of 0.45 s (0.7 s on Google's stores).
multiprocessing's forkserver has the same purpose, and runs functions of the parent's main module instead.

    parent (pytest)          fork server                    monitor            run
    spawn() ── request ────▶ fork ─────────────────────────▶ fork ────────────▶ lading.cli.main()
            ◀───────────────────────────────── pid, status ── waitpid
"""

import atexit
import contextlib
import gc
import io
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Final, NoReturn, TextIO

ROOT: Final = Path(__file__).parents[2]
MAX_REQUEST: Final = 1024 * 1024
"""Bytes: arguments and environment of a run (Linux has a limit of about 2 MiB for both)."""


class ForkedProcess:
    """A run of the command: what tests use of subprocess.Popen.

    Attributes:
        pid: of the process, which has no other children than its own.
        returncode: as Popen has it, once it is known.
    """

    def __init__(self, status: socket.socket) -> None:
        """Take the socket on which the monitor sends the pid, and the status at the end."""
        self._status = status
        self.returncode: int | None = None
        self.pid = int(self._read_line())

    def poll(self) -> int | None:
        """Return the exit status, or -N for signal N, if the process has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process ends; return its exit status. Raises TimeoutExpired."""
        if self.returncode is None:
            self._status.settimeout(timeout)
            try:
                status = int(self._read_line())
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("lading", timeout or 0) from None
            self.returncode = status
            self._status.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            # It can have ended since, and the monitor has not said so yet.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _read_line(self) -> bytes:
        """Return one message: the monitor sends each with one call."""
        line = self._status.recv(32)
        assert line, "the fork server has ended"
        return line


def can_run(environment: Mapping[str, str]) -> bool:
    """Return whether a run differs in nothing that is read only at a start or at an import."""
    return hasattr(os, "fork") and _start_variables(environment) == _start_variables(os.environ)


def _start_variables(environment: Mapping[str, str]) -> dict[str, str]:
    ignored = ("PYTHONPATH", "PYTHONUNBUFFERED")
    start = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "MALLOC_", "GRPC_", "OTEL_", "PROMETHEUS_", "GCE_", "GOOGLE_")
    return {name: value for name, value in environment.items() if name.startswith(start) and name not in ignored}


def spawn(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], files: tuple[int, int, int]
) -> ForkedProcess:
    """Run the command as `python -m lading.cli` would in that folder.

    Args:
        arguments: of the command.
        folder: in which it runs.
        environment: all variables that it has.
        files: descriptors of its standard input, standard output and standard error.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        request = json.dumps([list(arguments), str(folder), dict(environment), _umask()]).encode()
        assert len(request) <= MAX_REQUEST
        control, lock = _server()
        with lock:
            socket.send_fds(control, [str(len(request)).encode().ljust(16)], [theirs.fileno(), *files])
            control.sendall(request)
    return ForkedProcess(ours)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@cache
def _server() -> tuple[socket.socket, threading.Lock]:
    """Start the server of this process, once; it ends with this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours, threading.Lock()


class _Exit:
    """The end of a process without the destruction of its modules, which would cost twice as much as a run."""

    status: ClassVar[int] = 0

    @classmethod
    def now(cls) -> NoReturn:
        """End the process. As the first of atexit it is called last: after the threads and all other functions."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(cls.status)


def main() -> None:
    """Fork for each request, until the parent ends. In the process of a run this function raises SystemExit."""
    atexit.register(_Exit.now)
    control = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.freeze()  # so that no collection copies the pages of what was imported
    while True:
        header, files, _, _ = socket.recv_fds(control, 16, 4)
        if not header:
            return
        request = bytearray()
        while len(request) < int(header):
            request += control.recv(int(header) - len(request))
        if os.fork() == 0:
            control.close()
            _monitor(json.loads(request), *files)
        for each in files:
            os.close(each)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass  # a monitor has ended


def _monitor(request: tuple[list[str], str, dict[str, str], int], status: int, *files: int) -> None:
    """Fork the run, and send its pid and its exit status. Only the run returns, by SystemExit."""
    pid = os.fork()
    if pid == 0:
        os.close(status)
        _run(*request, *files)
    for each in files:
        os.close(each)
    with contextlib.suppress(OSError), socket.socket(fileno=status) as parent:
        parent.send(str(pid).encode())
        _, ended = os.waitpid(pid, 0)
        parent.send(str(os.waitstatus_to_exitcode(ended)).encode())
    os._exit(0)


def _run(arguments: list[str], folder: str, environment: dict[str, str], umask: int, *files: int) -> NoReturn:
    os.umask(umask)
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    if environment.get("PYTHONUNBUFFERED"):
        sys.stdout, sys.stderr = _unbuffered(sys.stdout), _unbuffered(sys.stderr)
    cli = import_module("lading.cli")
    sys.path[0] = folder
    sys.argv = [str(cli.__file__), *arguments]
    _Exit.status = 1  # of an exception
    try:
        sys.exit(cli.main())
    except SystemExit as error:
        _Exit.status = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise


def _unbuffered(stream: TextIO) -> TextIO:
    """Return the stream as `python -u` makes it."""
    file = io.FileIO(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(file, stream.encoding, stream.errors, write_through=True)


def _import_all() -> None:
    """Import the modules of Lading, and the clients of Google that some of them import where they are used."""
    for package in (import_module("lading"), import_module("lading_storage")):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)
    for name in ("google.cloud.firestore", "google.cloud.storage", "google.auth.transport.requests", "bcrypt"):
        import_module(name)


if __name__ == "__main__":
    main()
