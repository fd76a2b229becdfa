"""Responses of a server that misbehaves, to commands with `--registry`: each is an error of one line, and an end."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from lading import cli
from lading.client import connection
from tests.support.management_server import challenging, misbehaving, send

Run = Callable[..., str]


@pytest.mark.parametrize(("refusals", "status"), [(3, 0), (4, 1)])
def test_a_read_is_retried_while_the_registry_is_busy(
    refusals: int, status: int, logged_in: Callable[[str], None], lading: Run, monkeypatch: pytest.MonkeyPatch
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
        lading("ls", "--registry", url, status=status)
    assert left == []


@pytest.mark.parametrize("first", [True, False])
def test_redirects_are_not_followed(first: bool, logged_in: Callable[[str], None], lading: Run) -> None:
    with misbehaving(challenging(b"{}")) as (other, seen_by_other):

        def respond(handler: BaseHTTPRequestHandler) -> None:
            if first or handler.path.startswith("/v2/_lading"):
                send(handler, 307, Location=f"{other}/v2/")
            else:
                challenging(b"{}")(handler)

        with misbehaving(respond) as (url, _):
            logged_in(url)
            assert f"redirects to {other}/v2/, which is not followed" in lading("ls", "--registry", url, status=1)
        assert seen_by_other == []


def test_a_large_response_is_ended(
    logged_in: Callable[[str], None], lading: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
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
        assert "sent more than 1 MiB in one response" in lading("ls", "--registry", url, status=1)


def test_a_response_that_does_not_end_is_ended(
    logged_in: Callable[[str], None], lading: Run, monkeypatch: pytest.MonkeyPatch
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
        assert "did not end its response within 0 seconds" in lading("ls", "--registry", url, status=1)


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
        (b'{"repositories": [{"name": "a", "created": "0001-01-01T00:00:00+23:00"}], "next": ""}', "is no time in UTC"),
        (b'{"repositories": [], "next": "a"}', "the listing does not advance after a"),
    ],
)
def test_a_wrong_response_is_an_error(reply: bytes, reason: str, logged_in: Callable[[str], None], lading: Run) -> None:
    with misbehaving(challenging(reply)) as (url, _):
        logged_in(url)
        refused = lading("ls", "--registry", url, "--limit", "0", status=1)
        assert reason in refused
        assert "defect" not in refused


def test_names_of_a_server_cannot_control_the_terminal(logged_in: Callable[[str], None], lading: Run) -> None:
    reply = {"repositories": [{"name": "a\x1b[31m\n", "created": "2026-11-01T12:00:00Z"}], "next": ""}
    with misbehaving(challenging(json.dumps(reply).encode())) as (url, _):
        logged_in(url)
        assert "a\\x1b[31m\\n" in lading("ls", "--registry", url)

    def respond(handler: BaseHTTPRequestHandler) -> None:
        body = json.dumps({"errors": [{"code": "X", "message": "no\x1b[31m", "detail": {"a": ["\x1b"]}}]}).encode()
        challenging(b"")(handler) if not handler.path.startswith("/v2/_lading") else send(handler, 400, body)

    with misbehaving(respond) as (url, _):
        logged_in(url)
        assert "\x1b" not in lading("ls", "--registry", url, status=1)


def test_other_texts_of_a_server_cannot_control_the_terminal(
    logged_in: Callable[[str], None], lading: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    forged = "\x1b[31m\nlading: forged"
    row = {"name": "a", "created": "2026-11-01T12:00:00Z"}
    reply = {"repositories": [row], "next": forged, "repository": "a", "tag": "v1", "digest": forged}
    with misbehaving(challenging(json.dumps(reply).encode())) as (url, _):
        logged_in(url)
        cli.main(["ls", "--limit", "1", "--registry", url])
        assert len(capsys.readouterr().err.splitlines()) == 1
        for line in ("tag a:v1 v2", "rollback a:v1 --to 1234", "delete a@1234"):
            assert "is no digest" in lading(*line.split(), "--registry", url, status=1)

    errors = json.dumps({"errors": [{"code": "X", "message": forged, "detail": {forged: "m" * 10_000}}]}).encode()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        challenging(b"")(handler) if not handler.path.startswith("/v2/_lading") else send(handler, 400, errors)

    with misbehaving(respond) as (url, _):
        logged_in(url)
        refused = lading("ls", "--registry", url, status=1)
        assert len(refused.splitlines()) == 1
        assert len(refused) < 5_000


def test_a_number_without_end_is_refused(logged_in: Callable[[str], None], lading: Run) -> None:
    row = {"repository": "a", "tag": "v1", "digest": "", "media_type": "", "pushed": "2026-11-01T12:00:00Z"}
    reply = {"tags": [row | {"size": 10**400, "last_pull": None}], "next": ""}
    with misbehaving(challenging(json.dumps(reply).encode())) as (url, _):
        logged_in(url)
        assert "is not of the type int" in lading("ls", "a", "--registry", url, status=1)


def test_an_expired_token_is_got_again(logged_in: Callable[[str], None], lading: Run) -> None:
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
        assert lading("ls", "--registry", url) == ""
    assert [path.partition("?")[0] for path, _ in seen] == [
        *("/v2/", "/v2/token", "/v2/_lading/repositories", "/v2/token", "/v2/_lading/repositories")
    ]
