"""The registry behind nginx, Caddy and Envoy, with the lines of the page: large and chunked bodies, streamed."""

import contextlib
import http.client
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from emulators.processes import free_port
from lading_storage.digests import digest_of
from tests.support.reverse_proxies import PROXIES, running_proxy
from tests.support.server_process import PROCESS_TIMEOUT, Server, run_lading, serving, user_environment

MIB = 1 << 20


@dataclass
class Front:
    """A registry, and the port of the proxy before it."""

    server: Server
    port: int
    authorization: str
    data: Path

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """One request through the proxy."""
        with contextlib.closing(self.connection()) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, {"Authorization": self.authorization, **named})
            response = connection.getresponse()
            return response, response.read()

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PROCESS_TIMEOUT)


@pytest.fixture(params=PROXIES)
def front(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Front]:
    port, data = free_port(), tmp_path / "data"
    variables, authorization = user_environment(tmp_path / "users")
    public = {"LADING_URL": f"http://127.0.0.1:{port}", "LADING_TRUSTED_HOPS": "1", "LADING_DATA": str(data)}
    with (
        serving({**variables, **public}, tmp_path / "log") as server,
        running_proxy(request.param, tmp_path / "proxy", port, server.port),
    ):
        yield Front(server, port, authorization, data)


def test_large_bodies_pass_whole_and_in_chunks(front: Front) -> None:
    whole, chunked = os.urandom(3 * MIB), os.urandom(5 * MIB)

    assert front.request("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(whole)}", whole)[0].status == 201
    session = front.request("POST", "/v2/team/app/blobs/uploads/")[0].headers["Location"]
    pieces = (chunked[start : start + 65_536] for start in range(0, len(chunked), 65_536))
    patched = front.request("PATCH", path_of(session), pieces)[0]
    assert patched.status == 202
    closed = front.request("PUT", f"{path_of(patched.headers['Location'])}?digest={digest_of(chunked)}")[0]
    assert closed.status == 201

    for blob in (whole, chunked):
        path = f"/v2/team/app/blobs/{digest_of(blob)}"
        assert front.request("GET", path)[1] == blob
        assert front.request("HEAD", path)[0].headers["Content-Length"] == str(len(blob))


def path_of(location: str) -> str:
    """Return the path and query of a URL."""
    return f"/{location.split('/', 3)[3]}" if location.startswith("http") else location


def test_a_body_is_passed_on_as_it_comes(front: Front) -> None:
    blob = os.urandom(8 * MIB)
    with contextlib.closing(front.connection()) as connection:
        connection.putrequest("POST", f"/v2/team/app/blobs/uploads/?digest={digest_of(blob)}")
        connection.putheader("Authorization", front.authorization)
        connection.putheader("Content-Length", str(len(blob)))
        connection.endheaders(blob[: 6 * MIB])
        wait_for_bytes(front.data / "blobs", 2 * MIB)
        connection.send(blob[6 * MIB :])
        assert connection.getresponse().status == 201


def wait_for_bytes(folder: Path, size: int) -> None:
    """Wait until a file of the folder has some bytes: a proxy that buffers the body would pass none."""
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            if any(path.stat().st_size >= size for path in folder.rglob("*") if path.is_file()):
                return
        time.sleep(0.05)
    raise AssertionError("the body is buffered")


def test_doctor_finds_nothing_to_repair_through_the_proxy(front: Front, tmp_path: Path) -> None:
    words = ["doctor", "--url", f"http://127.0.0.1:{front.port}", "--user", "admin", "--repository", "team/app"]
    done = run_lading([*words, "--trusted-hops", "1", "--json"], tmp_path, stdin="secret\n")
    assert done.returncode == 0, done.stdout
    assert "a client cannot forge its address" in done.stdout


def test_the_clients_address_is_the_proxys_word(front: Front) -> None:
    front.request("GET", "/v2/", X_Forwarded_For="203.0.113.9")
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while "GET /v2/ " not in (text := front.server.log.read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    assert "203.0.113.9" not in text
