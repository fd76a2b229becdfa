"""Processes that never outlive us, not even after kill -9.

Each process gets a session of its own, so that it can be killed with all that it starts. A watchdog, one more process,
holds the read end of a pipe whose write end is ours alone: when we are gone, however that came, the pipe ends, and the
watchdog kills every session that it has been told of.
"""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

START_TIMEOUT: Final = 60.0
"""Seconds for an emulator to answer; two are usual."""

SERVER_PORTS: Final = (10_000, 32_768)
"""From the first to below the second: ports for servers. The system gives those from 32768 on to connections."""

MAX_ATTEMPTS: Final = 3
"""Another process may take a port between our asking for it and its use."""


class EmulatorError(Exception):
    """An emulator cannot run; the message says why, and what to do."""


@dataclass(frozen=True)
class Launched:
    """A server that answers.

    log  the file that its output goes to, which is removed with the family
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def stop(self, timeout: float) -> int:
        """End the server by SIGTERM, and after `timeout` seconds by SIGKILL; return its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_session(self.process.pid)
            return self.process.wait()


class ProcessGroup:
    """Some processes, and the watchdog that ends them when the block or this process does."""

    def __enter__(self) -> Self:
        """Start the watchdog."""
        self._folder = tempfile.TemporaryDirectory(prefix="lading-emulators-")
        self._watchdog = subprocess.Popen(
            [sys.executable, "-c", WATCHDOG], stdin=subprocess.PIPE, start_new_session=True, close_fds=True
        )
        self._children: list[subprocess.Popen[bytes]] = []
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill all, and the watchdog after them."""
        for child in self._children:
            kill_session(child.pid)
            child.wait()
        self._pipe.close()
        self._watchdog.wait()
        self._folder.cleanup()

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        log: IO[bytes] | None = None,
        folder: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process in a session of its own, in `folder`; its output goes to `log`, or where ours goes."""
        child = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        self._children.append(child)
        self._pipe.write(f"{child.pid}\n".encode())
        self._pipe.flush()
        return child

    def start_server(self, name: str, command: Sequence[str]) -> int:
        """Start a server on a free port, written `{port}` in its command; answers the port when it answers HTTP.

        Raises EmulatorError with the end of its log.
        """
        return self.launch(name, command).port

    def launch(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> "Launched":
        """Start a server as `start_server` does, in `folder`, with `{port}` in its environment as well."""
        log = Path(self._folder.name) / f"{name}-{len(self._children)}.log"
        for _ in range(MAX_ATTEMPTS):
            port = free_port()
            words = [word.replace("{port}", str(port)) for word in command]
            variables = environment and {key: value.replace("{port}", str(port)) for key, value in environment.items()}
            with log.open("wb") as output:
                server = self.start(words, variables, output, folder)
            if _is_serving(server, port):
                return Launched(server, port, log)
            kill_session(server.pid)
        raise EmulatorError(f"{name} does not start:\n{log.read_text(errors='replace')[-2000:]}")

    @property
    def _pipe(self) -> IO[bytes]:
        assert self._watchdog.stdin is not None
        return self._watchdog.stdin


WATCHDOG: Final = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
sessions = [int(line) for line in sys.stdin]
for session in sessions:
    try:
        os.killpg(session, signal.SIGKILL)
    except OSError:
        pass
"""
"""Reads the sessions' ids until the pipe ends, then kills those that are left."""


def kill_session(leader: int) -> None:
    """Kill a process that leads a session, and all in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def free_port() -> int:
    """Return a loopback port that is not in use now, for a server that listens on it a moment later.

    Not one of those that the system gives to connections (Linux: ip_local_port_range): any client could take it
    meanwhile.
    """
    while True:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", random.randrange(*SERVER_PORTS)))
            port: int = sock.getsockname()[1]
            return port


def _is_serving(server: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server answers HTTP, with whatever status, before it ends or patience does."""
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            time.sleep(0.05)
    return False
