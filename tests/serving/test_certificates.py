"""The certificate of a server that runs is read again on SIGHUP and when it changes; requests and clients go on."""

import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from emulators.processes import free_port
from lading import settings
from lading.server import certificate
from lading.server.certificate import Certificate
from tests.support.certificates import self_signed
from tests.support.server_process import PROCESS_TIMEOUT, Server, read_response, serving

MIN_REQUESTS = 20
"""Connections tried beside a change."""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The files of the server, with a first certificate."""
    cert, key = self_signed(tmp_path)
    return cert.rename(tmp_path / "served.crt"), key.rename(tmp_path / "served.key")


@pytest.fixture
def host() -> str:
    """Where the server listens."""
    return "127.0.0.1"


SERVE = """
import socket, sys
from lading import cli
resolve = socket.getaddrinfo
def as_on_most_machines(host, *rest, **named):
    hosts = ["::1", "127.0.0.1"] if host == "localhost" else [host]
    return [found for each in hosts for found in resolve(each, *rest, **named)]
socket.getaddrinfo = as_on_most_machines
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.fixture
def server(files: tuple[Path, Path], host: str, tmp_path: Path) -> Iterator[Server]:
    port = free_port()
    cert, key = files
    words = ["serve", "--address", f"{host}:{port}", "--tls-cert", str(cert), "--tls-key", str(key)]
    environment = {**os.environ, "LADING_ACCESS": "everybody", "LADING_DATA": str(tmp_path / "data")}
    command = [sys.executable, "-c", SERVE, *words]
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    started = Server(process, port, log)
    try:
        wait_until(lambda: can_connect(started), started)
        yield started
        assert "Traceback" not in log.read_text()
        assert "panicked" not in log.read_text()
    finally:
        process.terminate()
        process.wait(PROCESS_TIMEOUT)


def can_connect(server: Server) -> bool:
    with contextlib.suppress(OSError):
        served(server)
        return True
    return False


def wait_until(holds: Callable[[], bool], server: Server) -> None:
    """Wait; a handshake that the end of a worker meets is cut (granian 2.8), so one that fails is tried again."""
    deadline = time.monotonic() + PROCESS_TIMEOUT
    while True:
        with contextlib.suppress(OSError):
            if holds():
                return
        assert time.monotonic() < deadline, server.log.read_text()
        assert server.process.poll() is None, server.log.read_text()
        time.sleep(0.05)


def connected(server: Server) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=PROCESS_TIMEOUT))


def served(server: Server) -> bytes:
    """Return the certificate that a new connection is shown."""
    with connected(server) as connection:
        return connection.getpeercert(binary_form=True) or b""


def replace(files: tuple[Path, Path], folder: Path, **unusual: Any) -> bytes:
    """Write another certificate and its key over those of the server; return the certificate."""
    folder.mkdir()
    for new, old in zip(self_signed(folder, **unusual), files, strict=True):
        new.replace(old)
    return ssl.PEM_cert_to_DER_cert(files[0].read_text())


def begin_upload(server: Server) -> ssl.SSLSocket:
    """Send three of the ten bytes of an upload over a new connection."""
    upload = connected(server)
    upload.sendall(b"POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    with contextlib.closing(http.client.HTTPResponse(upload)) as begun:
        begun.begin()
        location = begun.headers["Location"]
    upload.sendall(f"PATCH {location} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc".encode())
    return upload


def test_a_changed_certificate_is_served_and_no_connection_is_cut(
    server: Server, files: tuple[Path, Path], tmp_path: Path
) -> None:
    upload = begin_upload(server)
    before = served(server)

    new = replace(files, tmp_path / "new")

    seen: list[bytes] = []

    def is_served() -> bool:
        seen.append(served(server))
        return seen[-1] == new and len(seen) >= MIN_REQUESTS

    wait_until(is_served, server)
    assert set(seen) <= {before, new}
    assert seen == sorted(seen, key=lambda each: each == new), "the old one never comes back"
    upload.sendall(b"defghij")
    assert read_response(upload)[0] == 202
    upload.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_sighup_reads_it_at_once(server: Server, files: tuple[Path, Path], tmp_path: Path) -> None:
    for number in range(3):
        new = replace(files, tmp_path / f"new{number}")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda new=new: served(server) == new, server)  # type: ignore[misc]
    assert server.stop() == 0


def test_neither_the_next_change_nor_the_end_waits_for_transfers_of_before(
    server: Server, files: tuple[Path, Path], tmp_path: Path
) -> None:
    uploads = []
    for number in range(2):
        uploads.append(begin_upload(server))
        new = replace(files, tmp_path / f"new{number}")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda new=new: served(server) == new, server)  # type: ignore[misc]

    server.process.terminate()
    wait_until(lambda: not can_connect(server), server)
    for upload in uploads:
        upload.sendall(b"defghij")
        assert read_response(upload)[0] == 202
        upload.close()
    assert server.process.wait(PROCESS_TIMEOUT) == 0


def test_what_cannot_be_served_changes_nothing(server: Server, files: tuple[Path, Path], tmp_path: Path) -> None:
    before = served(server)
    cert, key = files
    good = cert.read_bytes()
    cert.write_text("nonsense")
    for number in range(1, 3):
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda number=number: server.log.read_text().count("was not reloaded") >= number, server)  # type: ignore[misc]
    assert served(server) == before
    cert.write_bytes(good)
    key.unlink()
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: f"is served: --tls-key {key}: No such file" in server.log.read_text(), server)
    assert served(server) == before


NOT_SERVED: dict[str, dict[str, Any]] = {
    "another curve": {"curve": ec.SECP521R1()},
    "an unknown extension": {"critical": x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")},
}
"""What OpenSSL takes and the server's own TLS does not, which would end the process."""


@pytest.mark.parametrize("unusual", NOT_SERVED.values(), ids=NOT_SERVED)
def test_what_only_openssl_takes_changes_nothing(
    server: Server, files: tuple[Path, Path], tmp_path: Path, unusual: dict[str, Any]
) -> None:
    before = served(server)

    replace(files, tmp_path / "new", **unusual)

    wait_until(lambda: "was not reloaded" in server.log.read_text(), server)
    assert served(server) == before
    assert server.stop() == 0


@pytest.mark.parametrize("unusual", NOT_SERVED.values(), ids=NOT_SERVED)
def test_what_only_openssl_takes_is_refused_at_start(tmp_path: Path, unusual: dict[str, Any]) -> None:
    cert, key = self_signed(tmp_path, **unusual)
    read = settings.load_settings({"LADING_TLS_CERT": str(cert), "LADING_TLS_KEY": str(key)})

    with pytest.raises(settings.SettingsError, match="P-256") as error:
        Certificate(read)

    assert str(cert) in str(error.value) or str(key) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pause", [0.0, 0.05, 0.1, 0.15, 0.2])
def test_sigterm_while_it_is_read_again_ends_the_server(server: Server, pause: float) -> None:
    server.process.send_signal(signal.SIGHUP)
    time.sleep(pause)
    assert server.stop() == 0


WRITES_BETWEEN = """
from pathlib import Path
from lading.server import certificate
tried = certificate.is_served
def is_served(*words):
    accepted = tried(*words)
    for path in sys.argv[-3], sys.argv[-1]:
        Path(path).write_text("nonsense")
    return accepted
certificate.is_served = is_served
"""


def test_what_was_tried_is_what_is_served(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A writer of the files after the trial would end the process, whose TLS ends it for what it cannot read."""
    good = ssl.PEM_cert_to_DER_cert(files[0].read_text())
    words = ["--tls-cert", str(files[0]), "--tls-key", str(files[1])]
    script = SERVE.replace("resolve =", f"{WRITES_BETWEEN}\nresolve =")
    command = [sys.executable, "-c", script, "serve", "--address", "127.0.0.1:{port}", *words]
    trusted = ssl.create_default_context(cafile=str(files[0]))
    with serving({"LADING_DATA": str(tmp_path / "data")}, tmp_path / "log", command=command, tls=trusted) as server:
        assert served(server) == good
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: f"--tls-cert {files[0]}: is not PEM" in server.log.read_text(), server)
        assert served(server) == good


def test_without_files_in_memory_the_files_themselves_are_served(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificate, "DESCRIPTORS", Path("/absent"))
    cert, key = files
    with Certificate(
        settings.load_settings({"LADING_TLS_CERT": str(cert), "LADING_TLS_KEY": str(key)})
    ).copies() as each:
        assert each == (str(cert), str(key), ())


def test_a_change_of_both_files_is_seen_once_it_is_whole(
    files: tuple[Path, Path],
) -> None:
    cert, key = files
    read = settings.load_settings({"LADING_TLS_CERT": str(cert), "LADING_TLS_KEY": str(key)})
    watched = Certificate(read)
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: cert.write_text("one"),
        lambda: key.write_text("two"),
        lambda: None,
        lambda: None,
        key.unlink,
        lambda: None,
        lambda: None,
    ]
    told: list[int] = []
    left = iter(range(len(steps)))

    def look(seconds: float) -> None:
        number = next(left, None)
        if number is None:
            raise EOFError
        now[0] = number
        steps[number]()

    now = [0]
    with pytest.raises(EOFError):
        watched.watch(lambda: told.append(now[0]), look)

    assert told == [3, 6]


def test_without_a_certificate_sighup_changes_nothing(tmp_path: Path) -> None:
    with serving({"LADING_DATA": str(tmp_path / "data")}, tmp_path / "log") as server:
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "served without one" in server.log.read_text(), server)
        assert server.request("GET", "/v2/")[0].status == 200
