"""The client of `--registry`: where its credentials come from, where they go, and what a server cannot do to it."""

import json
import stat
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from lading import cli
from lading.client import connection
from lading.client.credentials import Credentials
from lading_storage.stores import Stores
from tests.support.certificates import self_signed
from tests.support.folder_stores import folder_stores
from tests.support.management_server import ManagementServer, encoded, misbehaving, serving_users

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


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: str, status: int = 0) -> str:
        assert cli.main(words) == status
        done = capsys.readouterr()
        assert "-password" not in done.out + done.err.replace("--password-file", "")
        return done.err if status else done.out

    return run


def test_docker_s_login_is_used(remote: ManagementServer, run: Run) -> None:
    remote.log_in("admin")
    assert run("ls", "--registry", remote.url) == ""
    remote.write_config({"auths": {f"https://{remote.host}/v1/": {"auth": encoded("admin", "admin-password")}}})
    assert run("ls", "--registry", remote.url) == ""


@pytest.mark.parametrize("kind", ["credHelpers", "credsStore"])
def test_credential_helpers_are_asked(kind: str, remote: ManagementServer, programs: Path, run: Run) -> None:
    remote.write_config({kind: {remote.host: "vault"} if kind == "credHelpers" else "vault"})
    reply = json.dumps({"ServerURL": remote.host, "Username": "admin", "Secret": "admin-password"})
    add_program(programs, "docker-credential-vault", f'[ "$1 $(cat)" = "get {remote.host}" ] && echo \'{reply}\'')
    assert run("ls", "--registry", remote.url) == ""

    add_program(programs, "docker-credential-vault", "echo credentials not found; exit 1")
    assert f"there are none: run `docker login {remote.host}`" in run("ls", "--registry", remote.url, status=1)
    remote.write_config({"credsStore": "absent"})
    assert "there is no program docker-credential-absent" in run("ls", "--registry", remote.url, status=1)
    remote.write_config({"credsStore": "../x"})
    assert "is not the name of a credential helper" in run("ls", "--registry", remote.url, status=1)


def test_a_user_can_be_named(
    remote: ManagementServer, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("reader-password\n")
    words = ("ls", "--registry", remote.url, "--username", "reader", "--password-file")
    assert run(*words, str(secret)) == ""
    with secret.open() as stream:
        monkeypatch.setattr("sys.stdin", stream)
        assert run(*words, "-") == ""
    secret.write_text("wrong\n")
    refused = run(*words, str(secret), status=1)
    assert refused.endswith(f"refused the credentials of reader from {secret}: check the user name and the password\n")
    assert "needs --password-file" in run(*words[:-1], status=1)
    assert "absent: No such file" in run(*words, "absent", status=1)


def test_gcloud_s_token_is_sent_where_it_is_asked_for_alone(remote: ManagementServer, programs: Path, run: Run) -> None:
    add_program(programs, "gcloud", "echo ya29.token")
    assert "there are none" in run("ls", "--registry", remote.url, status=1)
    refused = run("ls", "--registry", remote.url, "--gcloud", status=1)
    assert "the credentials of oauth2accesstoken from `gcloud auth print-access-token`" in refused
    assert "ya29" not in refused
    add_program(programs, "gcloud", "echo ya29.part; echo not logged in >&2; exit 1")
    refused = run("ls", "--registry", remote.url, "--gcloud", status=1)
    assert refused.endswith("failed: not logged in\n")


@pytest.mark.parametrize("config", ["{", "[1]" * 2, "[" * 100_000])
def test_docker_s_configuration_that_is_no_json_is_named(config: str, remote: ManagementServer, run: Run) -> None:
    (remote.folder / "config.json").write_text(config)
    assert "config.json is not JSON; correct it, or use --username" in run("ls", "--registry", remote.url, status=1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://registry.example.com", "would send credentials unencrypted; use https://"),
        ("registry.example.com", "--registry is https://HOST"),
        ("ftp://x", "--registry is https://HOST"),
        ("https://user:secret@x", "--registry is https://HOST"),
        ("https://x/path", "--registry is https://HOST"),
        ("https://[x", "--registry is https://HOST"),
        ("http://127.0.0.1:1", "127.0.0.1:1 cannot be reached: "),
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url: str, reason: str, run: Run) -> None:
    assert reason in run("ls", "--registry", url, status=1)


def test_no_secret_is_in_a_text_of_credentials() -> None:
    assert "hidden" not in repr(Credentials("user", "hidden", "file")) + str(Credentials("user", "hidden", "file"))


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def challenging(reply: bytes, realm: str = "") -> Callable[[BaseHTTPRequestHandler], None]:
    """Respond as a registry with tokens does, and to the request itself with `reply`."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        own = f"http://127.0.0.1:{handler.server.server_address[1]}/v2/token"  # type: ignore[index]
        if handler.path == "/v2/":
            send(handler, 401, WWW_Authenticate=f'Bearer realm="{realm or own}",service="x"')
        elif handler.path.startswith("/v2/token"):
            send(handler, 200, b'{"token": "t"}')
        else:
            send(handler, 200, reply)

    return respond


@pytest.fixture
def logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write docker's login for the host of a URL."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))

    def write(url: str) -> None:
        config = {"auths": {url.removeprefix("http://"): {"auth": encoded("admin", "hidden-password")}}}
        (tmp_path / "config.json").write_text(json.dumps(config))

    return write


def test_credentials_are_not_sent_to_the_host_of_another_realm(logged_in: Callable[[str], None], run: Run) -> None:
    with misbehaving(challenging(b"{}")) as (other, seen_by_other):
        with misbehaving(challenging(b"{}", realm=f"{other}/v2/token")) as (url, seen):
            logged_in(url)
            refused = run("ls", "--registry", url, status=1)
        assert "nothing was sent" in refused
        assert seen_by_other == []
        assert [authorization for _, authorization in seen] == [""]
    with misbehaving(challenging(b"{}", realm="https://evil.example.com/token")) as (url, _):
        logged_in(url)
        assert "to be sent to evil.example.com" in run("ls", "--registry", url, status=1)


def test_certificates_are_verified(
    tmp_path: Path, logged_in: Callable[[str], None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, empty = self_signed(tmp_path), b'{"repositories": [], "next": ""}'
    with misbehaving(lambda handler: send(handler, 200, empty), certificate) as (url, seen):
        logged_in(url.replace("https", "http"))
        refused = run("ls", "--registry", url, status=1)
        assert "its certificate is not trusted" in refused
        assert "SSL_CERT_FILE" in refused
        assert seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert run("ls", "--registry", url) == ""


def test_loopback_has_no_proxy(logged_in: Callable[[str], None], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with misbehaving(challenging(b"{}")) as (proxy, seen_by_proxy), misbehaving(challenging(b"{}")) as (url, seen):
        monkeypatch.setenv("http_proxy", proxy)
        logged_in(url)
        run("ls", "--registry", url, status=1)
        assert (seen_by_proxy, len(seen)) == ([], 3)


@pytest.mark.parametrize(("refusals", "status"), [(3, 0), (4, 1)])
def test_a_read_is_retried_while_the_registry_is_busy(
    refusals: int, status: int, logged_in: Callable[[str], None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "RETRY_DELAYS", (0.0, 0.0, 0.0))
    left = [503] * refusals

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/v2/_lading") and left:
            send(handler, left.pop(), b'{"errors": [{"code": "UNAVAILABLE", "message": "busy"}]}', Retry_After="1")
        else:
            challenging(b'{"repositories": [], "next": ""}')(handler)

    with misbehaving(respond) as (url, _):
        logged_in(url)
        run("ls", "--registry", url, status=status)
    assert left == []


def test_a_proxy_of_an_unknown_kind_is_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    refused = run("ls", "--registry", "https://registry.example.com", status=1)
    assert "the proxy in https_proxy is no http:// or https:// proxy; unset https_proxy" in refused


@pytest.mark.parametrize("first", [True, False])
def test_redirects_are_not_followed(first: bool, logged_in: Callable[[str], None], run: Run) -> None:
    with misbehaving(challenging(b"{}")) as (other, seen_by_other):

        def respond(handler: BaseHTTPRequestHandler) -> None:
            if first or handler.path.startswith("/v2/_lading"):
                send(handler, 307, Location=f"{other}/v2/")
            else:
                challenging(b"{}")(handler)

        with misbehaving(respond) as (url, _):
            logged_in(url)
            assert f"redirects to {other}/v2/, which is not followed" in run("ls", "--registry", url, status=1)
        assert seen_by_other == []


def test_a_large_response_is_ended(logged_in: Callable[[str], None], run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_RESPONSE", 2**20)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if not handler.path.startswith("/v2/_lading"):
            challenging(b"")(handler)
            return
        send(handler, 200, Content_Length=str(2**40))
        try:
            while True:
                handler.wfile.write(b" " * 2**16)
        except OSError:
            pass

    with misbehaving(respond) as (url, _):
        logged_in(url)
        assert "sent more than 1 MiB in one response" in run("ls", "--registry", url, status=1)


def test_a_response_that_does_not_end_is_ended(
    logged_in: Callable[[str], None], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "READ_TIMEOUT", 0.3)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if not handler.path.startswith("/v2/_lading"):
            challenging(b"")(handler)
            return
        send(handler, 200, Content_Length=str(2**40))
        try:
            while True:
                handler.wfile.write(b" ")
                handler.wfile.flush()
        except OSError:
            pass

    with misbehaving(respond) as (url, _):
        logged_in(url)
        assert "did not end its response within 0 seconds" in run("ls", "--registry", url, status=1)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"<html>", "did not respond as a registry of this release of Lading: its status was 200"),
        (b"[" * 100_000, "did not respond as a registry"),
        (b"{}", "it has no next"),
        (b'{"repositories": 5, "next": ""}', "it has no repositories"),
        (b'{"repositories": [5], "next": ""}', "RepositorySummary is no object"),
        (b'{"repositories": [{"name": "a"}], "next": ""}', "RepositorySummary has no created"),
        (b'{"repositories": [{"name": "a", "created": "x"}], "next": ""}', "cannot be used"),
        (b'{"repositories": [{"name": [], "created": "2026-11-01T12:00:00Z"}], "next": ""}', "is not of the type str"),
        (b'{"repositories": [], "next": "a"}', "the listing does not advance after a"),
    ],
)
def test_a_wrong_response_is_an_error(reply: bytes, reason: str, logged_in: Callable[[str], None], run: Run) -> None:
    with misbehaving(challenging(reply)) as (url, _):
        logged_in(url)
        refused = run("ls", "--registry", url, "--limit", "0", status=1)
        assert reason in refused
        assert "defect" not in refused


def test_names_of_a_server_cannot_control_the_terminal(logged_in: Callable[[str], None], run: Run) -> None:
    reply = {"repositories": [{"name": "a\x1b[31m\n", "created": "2026-11-01T12:00:00Z"}], "next": ""}
    with misbehaving(challenging(json.dumps(reply).encode())) as (url, _):
        logged_in(url)
        assert "a\\x1b[31m\\n" in run("ls", "--registry", url)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"errors": [{"code": "X", "message": "no\x1b[31m", "detail": {"a": ["\x1b"]}}]}).encode()
        challenging(b"")(handler) if not handler.path.startswith("/v2/_lading") else send(handler, 400, body)

    with misbehaving(respond) as (url, _):
        logged_in(url)
        assert "\x1b" not in run("ls", "--registry", url, status=1)


def test_an_expired_token_is_got_again(logged_in: Callable[[str], None], run: Run) -> None:
    tokens = iter(["old", "new"])

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if handler.path.startswith("/v2/token"):
            send(handler, 200, json.dumps({"access_token": next(tokens)}).encode())
        elif handler.headers.get("Authorization") == "Bearer new":
            send(handler, 200, b'{"repositories": [], "next": ""}')
        else:
            challenging(b"")(handler) if handler.path == "/v2/" else send(handler, 401)

    with misbehaving(respond) as (url, seen):
        logged_in(url)
        assert run("ls", "--registry", url) == ""
    assert [path.partition("?")[0] for path, _ in seen] == [
        *("/v2/", "/v2/token", "/v2/_lading/repositories", "/v2/token", "/v2/_lading/repositories")
    ]
