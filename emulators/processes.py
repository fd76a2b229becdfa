"""Child processes that never outlive their parent, even if that is killed by SIGKILL.

Each child is started in a new session, so that it can be killed together with its descendants. A watchdog process holds
the read end of a pipe whose write end only the parent has. When the parent ends for any reason, the watchdog reads the
end of file, and kills every session whose id was written to the pipe.
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
"""Seconds until an emulator must respond; two are usual."""

SERVER_PORTS: Final = (10_000, 32_768)
"""Range of ports for servers, excluding its end. Ports from 32768 on are the system's ephemeral ports."""

MAX_ATTEMPTS: Final = 3
"""Attempts to start a server: another process may take the port between its choice and its use."""


class EmulatorError(Exception):
    """An emulator cannot run; the message has the reason and the next step."""


@dataclass(frozen=True)
class ServerProcess:
    """A running server that responds.

    log  file with its output, removed with the process group
    """

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def stop(self, timeout: float) -> int:
        """Stop the server with SIGTERM, and after `timeout` seconds with SIGKILL; return its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            kill_session(self.process.pid)
            return self.process.wait()


class ProcessGroup:
    """Child processes, and the watchdog that kills them when the block or this process ends."""

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
        """Kill all children, then end the watchdog."""
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
        """Start a process in a new session.

        Args:
            command: program and arguments.
            environment: of the process; this process's by default.
            log: file for its output; this process's output by default.
            folder: its working directory.
        """
        child = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True)
        self._children.append(child)
        self._pipe.write(f"{child.pid}\n".encode())
        self._pipe.flush()
        return child

    def start_server(self, name: str, command: Sequence[str]) -> int:
        """Start a server on a free port, which replaces `{port}` in its command, and return the port.

        Waits until the server responds to HTTP. Raises EmulatorError with the end of its log.
        """
        return self.launch(name, command).port

    def launch(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        port: int = 0,
    ) -> ServerProcess:
        """Start a server as `start_server` does, in `folder`; `{port}` is replaced in its environment as well.

        It listens on `port`, if that is given.
        """
        log = Path(self._folder.name) / f"{name}-{len(self._children)}.log"
        for _ in range(MAX_ATTEMPTS):
            chosen = str(port or free_port())
            words = [word.replace("{port}", chosen) for word in command]
            variables = environment and {key: value.replace("{port}", chosen) for key, value in environment.items()}
            with log.open("wb") as output:
                server = self.start(words, variables, output, folder)
            if _is_serving(server, int(chosen)):
                return ServerProcess(server, int(chosen), log)
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
"""Program of the watchdog: reads session ids until end of file, then kills the sessions that still exist."""


def kill_session(leader: int) -> None:
    """Kill a session leader and all processes in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def free_port() -> int:
    """Return a loopback port that is not in use, for a server that is about to listen on it.

    It is not an ephemeral port (Linux: ip_local_port_range), which any client could take meanwhile.
    """
    while True:
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", random.SystemRandom().randrange(*SERVER_PORTS)))
            port: int = sock.getsockname()[1]
            return port


def _is_serving(server: subprocess.Popen[bytes], port: int) -> bool:
    """Return whether the server responds to HTTP, with any status, before it ends or START_TIMEOUT passes."""
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
