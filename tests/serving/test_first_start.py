"""The first start of `lading serve`: it writes a password once, for a user who exists, and else makes no user."""

import contextlib
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from emulators.processes import free_port
from lading import settings
from lading.server.listener import listen
from tests.support.server_process import PROCESS_TIMEOUT, Server, basic, run_lading, serving

PASSWORD_HINT = re.compile(r"-u admin --password-stdin < (\S+)")
USERS = {"LADING_ACCESS": "users"}
CONCURRENT_STARTS = 5


def told(log: Path) -> list[str]:
    """Return the passwords that a start told of: it names the file, and shows none."""
    return [Path(file).read_text().removesuffix("\n") for file in PASSWORD_HINT.findall(log.read_text())]


def can_log_in(server: Server, password: str) -> bool:
    server.authorization = basic("admin", password)
    return server.request("POST", "/v2/team/app/blobs/uploads/")[0].status == 202


def test_of_several_first_starts_at_once_one_writes_a_password_and_all_serve(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), **USERS}
    logs = [tmp_path / f"log{number}" for number in range(CONCURRENT_STARTS)]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(started(log, tmp_path / "data")) for log in logs]
        for server in servers:
            wait_until_it_listens(server)

        passwords = [password for log in logs for password in told(log)]

        assert len(passwords) == 1
        assert all(can_log_in(server, passwords[0]) for server in servers)
    assert not [log for log in logs if "Traceback" in log.read_text()]
    with serving(environment, tmp_path / "later") as later:
        assert not told(later.log)


@contextlib.contextmanager
def started(log: Path, data: Path) -> Iterator[Server]:
    """A start without a wait."""
    port = free_port()
    command = [sys.executable, "-m", "lading.cli", "serve", "--address", f"127.0.0.1:{port}", "--data", str(data)]
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as process:
        try:
            yield Server(process, port, log)
        finally:
            process.terminate()


def wait_until_it_listens(server: Server) -> None:
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < deadline and server.process.poll() is None:
        with contextlib.suppress(OSError):
            if server.request("GET", "/v2/")[0].status == 401:
                return
        time.sleep(0.05)
    raise AssertionError(server.log.read_text())


MISTAKES = [
    ["--address", "0.0.0.0:{port}"],
    ["--address", "127.0.0.1:{taken}"],
    ["--address", "no.such.host.invalid:{port}"],
    ["--tls-cert", "absent.pem", "--tls-key", "absent.pem"],
    ["--tls-cert", "garbage.pem", "--tls-key", "garbage.pem"],
    ["--immutable", "[["],
    ["--keys", "secret://project"],
    ["--threads", "0"],
]


@pytest.mark.parametrize("options", MISTAKES, ids=" ".join)
def test_a_first_start_with_a_wrong_option_creates_no_user(tmp_path: Path, options: Sequence[str]) -> None:
    (tmp_path / "garbage.pem").write_text("garbage")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [option.format(port=free_port(), taken=taken.getsockname()[1]) for option in options]
        address = [] if "--address" in words else ["--address", f"127.0.0.1:{free_port()}"]
        done = run_lading(["serve", *address, *words], tmp_path, USERS)

    assert done.returncode == 1
    assert done.stderr.startswith("lading: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "lading-data" / "users.htpasswd").exists()
    assert not (tmp_path / "lading-data" / "grants.txt").exists()
    with serving({"LADING_DATA": str(tmp_path / "lading-data"), **USERS}, tmp_path / "log") as server:
        (password,) = told(server.log)
        assert can_log_in(server, password)


KILLED = """
import os, sys
from lading import cli
os.link = lambda *_: os._exit(9)
sys.exit(cli.main(["serve"]))
"""


def test_a_first_start_that_is_killed_before_its_user_exists_is_none(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path / "data"), **USERS}
    # The keys have been made before, by a link as well.
    with serving(environment, tmp_path / "keys"):
        pass
    for name in ("users.htpasswd", "grants.txt"):
        (tmp_path / "data" / name).unlink()
    address = f"LADING_ADDRESS=127.0.0.1:{free_port()}"
    variables = [f"{name}={value}" for name, value in environment.items()]
    command = ["env", address, *variables, sys.executable, "-c", KILLED]
    killed = subprocess.run(command, capture_output=True, text=True, timeout=PROCESS_TIMEOUT, check=False)
    assert killed.returncode == 9
    void = (tmp_path / "data" / "admin.password").read_text().strip()
    assert (tmp_path / "data" / "grants.txt").exists()

    with serving(environment, tmp_path / "log") as server:
        (password,) = told(server.log)
        assert password != void
        assert can_log_in(server, password)


def test_where_an_operator_has_written_grants_no_user_is_created(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "grants.txt").write_text("ci@example.com * pull\n")
    with serving({"LADING_DATA": str(tmp_path / "data"), **USERS}, tmp_path / "log") as server:
        assert not told(server.log)
    assert not (tmp_path / "data" / "users.htpasswd").exists()


def test_a_port_is_not_shared() -> None:
    read = settings.load_settings({"LADING_ADDRESS": f"127.0.0.1:{free_port()}"})
    with listen(read), pytest.raises(settings.SettingsError, match="in use"), listen(read):
        pass


def test_connections_inherit_what_the_listener_has() -> None:
    read = settings.load_settings({"LADING_ADDRESS": f"127.0.0.1:{free_port()}"})
    with listen(read) as (listener,), socket.create_connection((read.host, read.port), timeout=5):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            if hasattr(socket, "TCP_KEEPIDLE"):
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
