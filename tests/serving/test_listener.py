"""Where a server listens: a port that is in use is an error, and names of this machine work."""

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulators.processes import free_port
from functions import settings
from functions.listener import listen
from functions.settings import SettingsError
from tests.servers import PATIENCE, lading, serving

IN_USE = "is in use; stop what listens there, or choose another port with --address"


def listening(address: str) -> socket.socket:
    return listen(settings.read({"LADING_ADDRESS": address}))


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.fixture
def port() -> int:
    return free_port()


TAKEN = [
    ("127.0.0.1", "127.0.0.1"),
    ("127.0.0.1", "localhost"),
    ("localhost", "127.0.0.1"),
    ("0.0.0.0", "127.0.0.1"),
    ("0.0.0.0", "0.0.0.0"),
    ("127.0.0.1", "0.0.0.0"),
    ("[::]", "127.0.0.1"),
    ("[::]", "[::]"),
    ("[::]", "[::1]"),
    ("[::1]", "[::]"),
    ("0.0.0.0", "[::]"),
    ("[::]", "0.0.0.0"),
]


@pytest.mark.parametrize(("first", "second"), TAKEN)
def test_a_port_is_never_shared(port: int, first: str, second: str) -> None:
    if "[" in first + second and not has_ipv6():
        pytest.skip("no IPv6 here")
    with listening(f"{first}:{port}"), pytest.raises(SettingsError) as refused:
        listening(f"{second}:{port}").close()
    assert str(refused.value) == f"{second}:{port} {IN_USE}"


def test_nor_with_a_server_that_would_share_it(port: int) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(SettingsError, match="is in use"):
            listening(f"127.0.0.1:{port}").close()


def test_of_two_servers_that_start_at_once_one_serves(port: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "functions.cli", "serve", "--address", f"localhost:{port}"]
    logs = [tmp_path / f"log{number}" for number in range(2)]
    with contextlib.ExitStack() as stack:
        processes = []
        for number, log in enumerate(logs):
            output = stack.enter_context(log.open("wb"))
            words = [*command, "--data", str(tmp_path / f"data{number}")]
            processes.append(stack.enter_context(subprocess.Popen(words, stdout=output, stderr=output)))
            stack.callback(processes[-1].terminate)
        loser = first_to_end(processes)
        assert processes[loser].returncode == 1
        assert logs[loser].read_text() == f"lading: localhost:{port} {IN_USE}\n"
        assert not (tmp_path / f"data{loser}" / "users.htpasswd").exists()
        assert processes[1 - loser].poll() is None


def first_to_end(processes: "list[subprocess.Popen[bytes]]") -> int:
    while True:
        for number, process in enumerate(processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE / 300)
                return number


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_names_of_this_machine_are_listened_at(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "functions.cli", "serve", "--address", f"{host}:{{port}}"]
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": "users"}
    with serving(environment, tmp_path / "log", command=command) as server:
        assert f"Lading serves http://{host}:{server.port}\n" in server.log.read_text()


WRONG = {
    "no.such.host.invalid:{port}": "no address of that name is known here; use 127.0.0.1",
    "192.0.2.1:{port}": "is not an address of this machine; use 127.0.0.1",
    "*:{port}": "no address of that name is known here",
    "localhost": "--address is HOST:PORT, not localhost",
}


@pytest.mark.parametrize("address", WRONG)
def test_a_wrong_address_is_one_line(address: str, port: int, tmp_path: Path) -> None:
    done = lading(["serve", "--url", "http://x", "--address", address.format(port=port)], tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert WRONG[address] in done.stderr
    assert not list(tmp_path.iterdir())
