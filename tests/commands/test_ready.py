"""`lading ready`, the health check of the container image: the server of the same settings, with and without TLS."""

import ssl
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from emulators.processes import free_port
from tests.support.certificates import self_signed
from tests.support.server_process import Server, run_lading, serving


def test_a_server_is_ready_until_it_ends(server: Server, environment: Mapping[str, str], tmp_path: Path) -> None:
    words = ["ready", "--address", f"0.0.0.0:{server.port}"]

    done = run_lading(words, tmp_path, environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    server.stop()
    done = run_lading(words, tmp_path, environment)
    assert done.returncode == 1
    assert done.stderr.startswith(f"lading: no server responds at 0.0.0.0:{server.port}: ")


class NotReady(BaseHTTPRequestHandler):
    """Respond as the registry does while one of its stores does not."""

    def do_GET(self) -> None:
        self.send_error(503 if self.path == "/readyz" else 200)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def test_a_server_whose_stores_do_not_respond_is_not_ready(tmp_path: Path) -> None:
    with HTTPServer(("127.0.0.1", 0), NotReady) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        done = run_lading(["ready", "--address", address], tmp_path)
        server.shutdown()
    assert done.returncode == 1
    assert done.stderr == f"lading: the server at {address} is not ready: its stores do not respond\n"


def test_a_server_with_tls_is_checked_whatever_name_its_certificate_has(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    tls = {"LADING_TLS_CERT": str(cert), "LADING_TLS_KEY": str(key)}
    context = ssl.create_default_context(cafile=cert)
    with serving({"LADING_DATA": str(tmp_path / "data"), **tls}, tmp_path / "log", tls=context) as server:
        done = run_lading(["ready", "--address", f"localhost:{server.port}"], tmp_path, tls)
        assert (done.returncode, done.stderr) == (0, "")
        assert run_lading(["ready", "--address", server.host], tmp_path).returncode == 1


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_where_nothing_listens_none_is_ready(address: str, tmp_path: Path) -> None:
    assert run_lading(["ready", "--address", f"{address}:{free_port()}"], tmp_path).returncode == 1
