"""Where a server listens: a port that is in use is an error, and names of this machine work."""

import contextlib
import http.client
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from emulators.processes import free_port
from lading import settings
from lading.server.listener import listen
from lading.settings import SettingsError
from tests.support.server_process import PROCESS_TIMEOUT, run_lading, serving

IN_USE = "is in use; stop what listens there, or choose another port with --address"


def listening(address: str) -> contextlib.AbstractContextManager[list[socket.socket]]:
    return listen(settings.load_settings({"LADING_ADDRESS": address}))


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
    with listening(f"{first}:{port}"), pytest.raises(SettingsError) as refused, listening(f"{second}:{port}"):
        pass
    assert str(refused.value) == f"{second}:{port} {IN_USE}"


def test_nor_with_a_server_that_would_share_it(port: int) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(SettingsError, match="is in use"), listening(f"127.0.0.1:{port}"):
            pass


def test_of_two_servers_that_start_at_once_one_serves(port: int, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lading.cli", "serve", "--address", f"localhost:{port}"]
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
                process.wait(PROCESS_TIMEOUT / 300)
                return number


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_names_of_this_machine_are_listened_at(host: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lading.cli", "serve", "--address", f"{host}:{{port}}"]
    environment = {"LADING_DATA": str(tmp_path / "data"), "LADING_ACCESS": "users"}
    with serving(environment, tmp_path / "log", command=command) as server:
        assert f"Lading serves http://{host}:{server.port}\n" in server.log.read_text()


BOTH = [
    (int(socket.AF_INET6), 1, 6, "", ("::1", 0, 0, 0)),
    (int(socket.AF_INET), 1, 6, "", ("127.0.0.1", 0)),
]
"""What `localhost` resolves to on most machines."""


@pytest.mark.parametrize("taken", ["127.0.0.1", "[::1]"])
def test_a_name_is_in_use_where_one_of_its_addresses_is(taken: str, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    with listening(f"{taken}:{port}"):
        monkeypatch.setattr("lading.server.listener.socket.getaddrinfo", lambda *_, **__: BOTH)
        with pytest.raises(SettingsError) as refused, listening(f"localhost:{port}"):
            pass
    assert str(refused.value) == f"localhost:{port} {IN_USE}"


def test_an_address_that_this_machine_lacks_is_left_out(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ::1 in containers, where /etc/hosts has it and the kernel has not."""
    absent = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 0))
    monkeypatch.setattr("lading.server.listener.socket.getaddrinfo", lambda *_, **__: [absent, BOTH[1]])
    with listening(f"localhost:{port}") as listeners:
        assert [each.getsockname() for each in listeners] == [("127.0.0.1", port)]


ANSWER_AT_BOTH = f"""
import socket, sys
from lading import cli; from lading.server import listener
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **named: {BOTH!r} if host == "localhost" else resolve(host, *rest, **named)
sys.exit(cli.main(["serve", "--address", "localhost:{{port}}"]))
"""


def test_a_name_is_served_at_all_its_addresses(tmp_path: Path) -> None:
    if not has_ipv6():
        pytest.skip("no IPv6 here")
    environment = {"LADING_DATA": str(tmp_path / "data")}
    with serving(environment, tmp_path / "log", command=[sys.executable, "-c", ANSWER_AT_BOTH]) as server:
        for address in ("127.0.0.1", "::1"):
            with contextlib.closing(
                http.client.HTTPConnection(address, server.port, timeout=PROCESS_TIMEOUT)
            ) as connection:
                connection.request("GET", "/healthz", headers={"Host": "localhost"})
                assert connection.getresponse().status == 200
        assert server.stop() == 0


WRONG = {
    "no.such.host.invalid:{port}": "the name cannot be resolved; use 127.0.0.1",
    "192.0.2.1:{port}": "is not an address of this machine; use 127.0.0.1",
    "*:{port}": "the name cannot be resolved",
    "localhost": "--address is HOST:PORT, not localhost",
}


@pytest.mark.parametrize("address", WRONG)
def test_a_wrong_address_is_one_line(address: str, port: int, tmp_path: Path) -> None:
    done = run_lading(["serve", "--url", "http://x", "--address", address.format(port=port)], tmp_path)

    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert WRONG[address] in done.stderr
    assert not list(tmp_path.iterdir())
