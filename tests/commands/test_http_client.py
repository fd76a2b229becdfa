"""The client of `--registry`: where its credentials come from, and where they go."""

import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lading.client.credentials import Credentials
from lading_storage.stores import Stores
from tests.support.certificates import self_signed
from tests.support.folder_stores import folder_stores
from tests.support.management_server import ManagementServer, challenging, encoded, misbehaving, send, serving_users

Run = Callable[..., str]


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    opened = folder_stores(tmp_path / "data")
    yield opened
    opened.close()


@pytest.fixture
def remote(stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ManagementServer]:
    with serving_users(stores, tmp_path / "remote") as server:
        monkeypatch.setenv("DOCKER_CONFIG", str(server.folder))
        yield server


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of programs that are found before all others."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


def add_program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_docker_s_login_is_used(remote: ManagementServer, lading: Run) -> None:
    remote.log_in("admin")
    assert lading("ls", "--registry", remote.url) == ""
    remote.write_config({"auths": {f"https://{remote.host}/v1/": {"auth": encoded("admin", "admin-password")}}})
    assert lading("ls", "--registry", remote.url) == ""


@pytest.mark.parametrize("kind", ["credHelpers", "credsStore"])
def test_credential_helpers_are_asked(kind: str, remote: ManagementServer, programs: Path, lading: Run) -> None:
    remote.write_config({kind: {remote.host: "vault"} if kind == "credHelpers" else "vault"})
    reply = json.dumps({"ServerURL": remote.host, "Username": "admin", "Secret": "admin-password"})
    add_program(programs, "docker-credential-vault", f'[ "$1 $(cat)" = "get {remote.host}" ] && echo \'{reply}\'')
    assert lading("ls", "--registry", remote.url) == ""

    add_program(programs, "docker-credential-vault", "echo credentials not found; exit 1")
    assert f"there are none: run `docker login {remote.host}`" in lading("ls", "--registry", remote.url, status=1)
    remote.write_config({"credsStore": "absent"})
    assert "there is no program docker-credential-absent" in lading("ls", "--registry", remote.url, status=1)
    remote.write_config({"credsStore": "../x"})
    assert "is not the name of a credential helper" in lading("ls", "--registry", remote.url, status=1)


def test_a_user_can_be_named(
    remote: ManagementServer, tmp_path: Path, lading: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("reader-password\n")
    words = ("ls", "--registry", remote.url, "--username", "reader", "--password-file")
    assert lading(*words, str(secret)) == ""
    with secret.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert lading(*words, "-") == ""
    secret.write_text("wrong\n")
    refused = lading(*words, str(secret), status=1)
    assert refused.endswith(f"refused the credentials of reader from {secret}: check the user name and the password\n")
    assert "needs --password-file" in lading(*words[:-1], status=1)
    assert "absent: No such file" in lading(*words, "absent", status=1)


def test_gcloud_s_token_is_sent_where_it_is_asked_for_alone(
    remote: ManagementServer, programs: Path, lading: Run
) -> None:
    add_program(programs, "gcloud", "echo ya29.token")
    assert "there are none" in lading("ls", "--registry", remote.url, status=1)
    refused = lading("ls", "--registry", remote.url, "--gcloud", status=1)
    assert "the credentials of oauth2accesstoken from `gcloud auth print-access-token`" in refused
    assert "ya29" not in refused
    add_program(programs, "gcloud", "echo ya29.part; echo not logged in >&2; exit 1")
    refused = lading("ls", "--registry", remote.url, "--gcloud", status=1)
    assert refused.endswith("failed: not logged in; run it to see more\n")
    add_program(programs, "gcloud", "echo 'ERROR: no account.' >&2; echo 'to obtain new credentials' >&2; exit 1")
    refused = lading("ls", "--registry", remote.url, "--gcloud", status=1)
    assert refused.endswith("failed: ERROR: no account; run it to see more\n")


@pytest.mark.parametrize("config", ["{", "[1]" * 2, "[" * 100_000])
def test_docker_s_configuration_that_is_no_json_is_named(config: str, remote: ManagementServer, lading: Run) -> None:
    (remote.folder / "config.json").write_text(config)
    assert "config.json is not JSON; correct it, or use --username" in lading("ls", "--registry", remote.url, status=1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://registry.example.com", "would send credentials unencrypted; use https://"),
        ("registry.example.com", "--registry is https://HOST"),
        ("ftp://x", "--registry is https://HOST"),
        ("", "--registry is https://HOST"),
        ("https://user:hidden-password@x", "--registry has no user and no password"),
        ("https://x/path", "--registry is https://HOST"),
        ("https://[x", "--registry is https://HOST"),
        ("http://127.0.0.1:1", "127.0.0.1:1 cannot be reached: Connection refused\n"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, reason: str, lading: Run) -> None:
    assert reason in lading("ls", "--registry", url, status=1)


@pytest.mark.parametrize("command", ["du", "rules show", "delete a --yes"])
def test_an_empty_address_is_not_the_stores(command: str, lading: Run) -> None:
    """As from an unset variable of a shell."""
    assert "--registry is https://HOST" in lading(*command.split(), "--registry", "", status=1)


def test_no_secret_is_in_a_text_of_credentials() -> None:
    assert "hidden" not in repr(Credentials("user", "hidden", "file")) + str(Credentials("user", "hidden", "file"))


def test_credentials_are_not_sent_to_the_host_of_another_realm(logged_in: Callable[[str], None], lading: Run) -> None:
    with misbehaving(challenging(b"{}")) as (other, seen_by_other):
        with misbehaving(challenging(b"{}", realm=f"{other}/v2/token")) as (url, seen):
            logged_in(url)
            refused = lading("ls", "--registry", url, status=1)
        assert "nothing was sent" in refused
        assert seen_by_other == []
        assert [authorization for _, authorization in seen] == [""]
    with misbehaving(challenging(b"{}", realm="https://evil.example.com/token")) as (url, _):
        logged_in(url)
        assert "to be sent to evil.example.com" in lading("ls", "--registry", url, status=1)


@pytest.mark.parametrize(
    ("realm", "status"),
    [
        (r"http://OTHER\@OWN/v2/token", 0),
        (r"http://OTHER\/@OWN/v2/token", 1),
        ("http://OWN:x/", 1),
        ("http://[::1/", 1),
    ],
)
def test_a_malformed_realm_names_no_other_host(
    realm: str, status: int, logged_in: Callable[[str], None], lading: Run
) -> None:
    """Parsers of URLs differ in which host a backslash ends."""
    with misbehaving(challenging(b"{}")) as (other, seen_by_other):

        def respond(handler: BaseHTTPRequestHandler) -> None:
            own = f"127.0.0.1:{handler.server.server_address[1]}"  # type: ignore[index]
            named = realm.replace("OTHER", other.removeprefix("http://")).replace("OWN", own)
            challenging(b'{"repositories": [], "next": ""}', named)(handler)

        with misbehaving(respond) as (url, _):
            logged_in(url)
            assert "defect" not in lading("ls", "--registry", url, status=status)
        assert seen_by_other == []


def test_certificates_are_verified(
    tmp_path: Path, logged_in: Callable[[str], None], lading: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, empty = self_signed(tmp_path), b'{"repositories": [], "next": ""}'
    with misbehaving(lambda handler: send(handler, 200, empty), certificate) as (url, seen):
        logged_in(url.replace("https", "http"))
        refused = lading("ls", "--registry", url, status=1)
        assert "its certificate is not trusted" in refused
        assert "SSL_CERT_FILE" in refused
        assert seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert lading("ls", "--registry", url) == ""
    with misbehaving(challenging(b"{}")) as (url, _):
        refused = lading("ls", "--registry", url.replace("http", "https"), status=1)
        assert refused.endswith("cannot be reached: it does not speak TLS as expected, wrong version number\n")


def test_loopback_has_no_proxy(logged_in: Callable[[str], None], lading: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with misbehaving(challenging(b"{}")) as (proxy, seen_by_proxy), misbehaving(challenging(b"{}")) as (url, seen):
        monkeypatch.setenv("http_proxy", proxy)
        logged_in(url)
        lading("ls", "--registry", url, status=1)
        assert (seen_by_proxy, len(seen)) == ([], 3)


@pytest.mark.parametrize("proxy", ["socks5://hidden-password@x", "http://a:hidden-password@[x", "http://x:999999"])
def test_a_proxy_that_cannot_be_used_is_named(proxy: str, lading: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    assert "the proxy in https_proxy is no http:// or https:// proxy" in lading(
        "ls", "--registry", "https://example.com", status=1
    )


def test_a_proxy_gets_its_login(lading: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []

    def accept() -> None:
        connection, _ = listening.accept()
        with connection:
            requests.append(connection.recv(4096).decode())
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept)
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://us%40er:secret@127.0.0.1:{listening.getsockname()[1]}")
        refused = lading("ls", "--registry", "https://example.com", status=1)
        thread.join()
    assert "example.com cannot be reached through the proxy of the environment: 407" in refused
    assert f"authorization: basic {encoded('us@er', 'secret')}".lower() in requests[0].lower()
