"""`lading serve` as a process of its own, for tests."""

import base64
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

import bcrypt

from emulators.processes import free_port
from tests.support import fork_server

ROOT: Final = Path(__file__).parents[2]
SOURCE_ROOTS: Final = os.pathsep.join(str(ROOT / name) for name in ("functions", "storage", ""))
"""PYTHONPATH of a process that runs the code of this checkout, whatever is installed."""

DEFAULTS = {
    "PYTHONUNBUFFERED": "1",
    "LADING_ACCESS": "everybody",
    "LADING_COLLECT_EVERY": "off",
    "LADING_SCAN": "off",
    "LADING_VULNERABILITY_SOURCE": "none",
}
"""The environment of servers, unless a test says otherwise: tests collect and scan when they say so."""

PROCESS_TIMEOUT = 30.0
"""Seconds for a process to begin or to end."""


def read_response(sock: socket.socket) -> tuple[int, bytes]:
    """The answer that comes over a connection, in however many pieces: its status, and its body."""
    with contextlib.closing(http.client.HTTPResponse(sock)) as response:
        response.begin()
        return response.status, response.read()


def run_lading(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end, in a folder; a server at a port that is free, unless it is told another one.

    The process comes from a fork server, where that makes no difference: a start of Python costs ten times as much.
    """
    default = {"LADING_ADDRESS": f"127.0.0.1:{free_port()}"} if arguments[:1] == ["serve"] else {}
    variables = {**os.environ, "PYTHONPATH": SOURCE_ROOTS, **default, **(environment or {})}
    if fork_server.can_run(variables):
        return _run_forked(arguments, folder, variables, stdin)
    return subprocess.run(
        [sys.executable, "-m", "lading.cli", *arguments],
        cwd=folder,
        env=variables,
        capture_output=True,
        input=stdin,
        text=True,
        timeout=PROCESS_TIMEOUT,
        check=False,
    )


def _run_forked(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: str
) -> subprocess.CompletedProcess[str]:
    with TemporaryFile("w+") as given, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        given.write(stdin)
        given.seek(0)
        files = (given.fileno(), output.fileno(), errors.fileno())
        process = fork_server.spawn(arguments, folder, environment, files)
        try:
            status = process.wait(PROCESS_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        for each in (output, errors):
            each.seek(0)
        return subprocess.CompletedProcess(["lading", *arguments], status, output.read(), errors.read())


def user_environment(folder: Path) -> tuple[Mapping[str, str], str]:
    """The variables of a registry with one user, who may do everything, and the Authorization of that user."""
    folder.mkdir(exist_ok=True)
    (folder / "users").write_text(f"admin:{bcrypt.hashpw(b'secret', bcrypt.gensalt(4)).decode()}\n")
    (folder / "grants").write_text("admin * pull,push,delete\n")
    variables = {
        "LADING_ACCESS": "users",
        "LADING_USERS": str(folder / "users"),
        "LADING_GRANTS": str(folder / "grants"),
        "LADING_KEYS": (folder / "keys.json").as_uri(),
    }
    return variables, basic("admin", "secret")


def basic(user: str, secret: str) -> str:
    """The Authorization header of a user and a secret (RFC 7617)."""
    return f"Basic {base64.b64encode(f'{user}:{secret}'.encode()).decode()}"


@dataclass
class Server:
    """A process that serves a registry on 127.0.0.1."""

    process: subprocess.Popen[bytes] | fork_server.ForkedProcess
    port: int
    log: Path
    authorization: str = ""
    tls: ssl.SSLContext | None = None

    @property
    def host(self) -> str:
        """HOST:PORT, as clients write it before a repository."""
        return f"127.0.0.1:{self.port}"

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request over a connection of its own, with the server's authorization; the answer, and its body."""
        sent = {"Authorization": self.authorization} if self.authorization else {}
        connection = (
            http.client.HTTPSConnection("127.0.0.1", self.port, timeout=PROCESS_TIMEOUT, context=self.tls)
            if self.tls
            else http.client.HTTPConnection("127.0.0.1", self.port, timeout=PROCESS_TIMEOUT)
        )
        with contextlib.closing(connection):
            connection.request(method, path, body, {**sent, **(headers or {})})
            response = connection.getresponse()
            return response, response.read()

    def peak_memory(self) -> int:
        """The most bytes of memory that Python has had (VmHWM): this process, and in the cloud's shape the server."""
        assert not isinstance(self.process, fork_server.ForkedProcess), "it has all imports: use serving(new=True)"
        pids = [self.process.pid, *(pid for name, pid in self.children().items() if name != "envoy")]
        return sum(map(_peak_memory, pids))

    def children(self) -> dict[str, int]:
        """The pids of the processes that this one has started, by the name of their program."""
        pid = self.process.pid
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return {Path(f"/proc/{each}/comm").read_text().strip(): int(each) for each in pids}

    def stop(self) -> int:
        """SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PROCESS_TIMEOUT)


def _peak_memory(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@contextlib.contextmanager
def serving(
    environment: Mapping[str, str],
    log: Path,
    arguments: Sequence[str] = (),
    command: Sequence[str] = (),
    tls: ssl.SSLContext | None = None,
    *,
    new: bool = False,
) -> Iterator[Server]:
    """A registry that serves until the block ends, to everybody, unless `environment` says otherwise.

    environment  the stores, as LADING_BLOBS and LADING_METADATA or LADING_DATA, and what else differs from ours
    command      what to run instead of `lading serve`; `{port}` stands for the port
    tls          how to trust it, where it serves HTTPS
    new          whether `lading serve` is a start of Python, whose memory is measured, and not from the fork server
    """
    port = free_port()
    variables = {**os.environ, **DEFAULTS, **environment}
    words = ["serve", "--address", f"127.0.0.1:{port}", *arguments]
    with log.open("wb") as output, Path(os.devnull).open() as nothing:
        process: subprocess.Popen[bytes] | fork_server.ForkedProcess
        if command or new or not fork_server.can_run(variables):
            started = [word.format(port=port) for word in command] or [sys.executable, "-m", "lading.cli", *words]
            process = subprocess.Popen(started, env=variables, stdout=output, stderr=subprocess.STDOUT)
        else:
            files = (nothing.fileno(), output.fileno(), output.fileno())
            process = fork_server.spawn(words, Path.cwd(), variables, files)
    server = Server(process, port, log, tls=tls)
    try:
        wait_until_ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(PROCESS_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(server: Server) -> None:
    """Wait until the registry answers; fails with its log."""
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            response, _ = server.request("GET", "/v2/")
            if response.status in (200, 401):
                return
        time.sleep(0.05)
    raise AssertionError(f"the server does not answer:\n{server.log.read_text()}")


def wait_until(holds: Callable[[], bool], *servers: Server) -> None:
    """Wait until a condition holds. Fails with the logs of the servers."""
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while not holds():
        assert time.monotonic() < deadline, [server.log.read_text() for server in servers]
        time.sleep(0.05)
