"""The audit: one line for each decision that refuses, and for each that writes."""

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lading import logs
from lading.app import request_of
from lading_storage.digests import digest_of
from tests.auth.audit_lines import audited
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import BUCKET, PULL, PUSH, FakeIamWorld, RestrictedApp, bearer, token_as_basic

BASIC = token_as_basic("ya29.alice")
ALICE = {"Authorization": BASIC}
TRACE = "0af7" * 8


@pytest.fixture
def app(make_app: AppFactory, world: FakeIamWorld, caplog: pytest.LogCaptureFixture) -> RestrictedApp:
    world.token("alice")
    world.folder("team/", PULL, PUSH, member="user:alice@example.com")
    caplog.set_level(logging.INFO)
    return make_app(access=f"gs://{BUCKET}", public="library/*")


def told(line: dict[str, Any]) -> tuple[str, ...]:
    return tuple(line["audit"][name] for name in ("principal", "action", "repository", "reference", "outcome"))


def test_a_write_is_a_line_in_the_shape_of_cloud_logging(
    app: RestrictedApp, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs._lines, "project", "some-project")
    digest = digest_of(b"bytes")
    headers = ALICE | {"X-Cloud-Trace-Context": f"{TRACE}/1;o=1", "User-Agent": "docker/28", "X-Request-Id": "ours-7"}

    answer = app.client.request("POST", f"/v2/team/app/blobs/uploads/?digest={digest}", b"bytes", headers)

    (line,) = audited(caplog)
    assert line.keys() == {"severity", "time", "message", "audit", "logging.googleapis.com/trace"}
    assert line["severity"] == "INFO"
    assert line["logging.googleapis.com/trace"] == f"projects/some-project/traces/{TRACE}"
    assert re.fullmatch("[0-9a-f]{32}", line["audit"].pop("session"))
    assert line["audit"] == {
        "outcome": "allowed",
        "status": 201,
        "client": "-",
        "principal": "alice@example.com",
        "action": "push",
        "repository": "team/app",
        "reference": "-",
        "change": "blob-pushed",
        "digest": digest,
        "request_id": answer.headers["X-Request-Id"],
        "sent_id": "ours-7",
        "trace": TRACE,
        "user_agent": "docker/28",
    }


def test_no_header_is_taken_for_the_id_of_a_request(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    ids = set()
    for name in ("X-Cloud-Trace-Context", "traceparent", "X-Request-Id"):
        for _ in range(2):
            value = f"00-{TRACE}-{'a' * 16}-01" if name == "traceparent" else TRACE
            answer = app.client.request("DELETE", "/v2/team/app/manifests/v1", headers=ALICE | {name: value})
            (line,) = audited(caplog)
            told = line["audit"]
            assert answer.headers["X-Request-Id"] == told["request_id"]
            assert TRACE in (told["sent_id"], told["trace"])
            ids.add(told["request_id"])
    assert len(ids) == 6
    assert TRACE not in ids


def test_every_refusal_is_an_audit_line(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    ask = app.client.request
    token = bearer(app.token("repository:team/app:pull,delete", authorization=ALICE["Authorization"]))
    assert [told(line) for line in audited(caplog)] == [("alice@example.com", "delete", "team/app", "token", "refused")]

    ask("DELETE", "/v2/team/app/manifests/v1", headers=ALICE)
    ask("DELETE", "/v2/team/app/manifests/v1", headers=token)
    ask("PUT", "/v2/team/app/manifests/v1", b"{}", token)
    ask("GET", "/v2/other/manifests/v1", headers=ALICE)
    ask("GET", "/v2/team/app/manifests/v1", headers={"Authorization": token_as_basic("ya29.wrong")})
    ask("GET", "/v2/token", headers={"Authorization": token_as_basic("ya29.wrong")})
    ask("GET", "/v2/team/app/manifests/v1")

    lines = audited(caplog)
    assert [told(line) for line in lines] == [
        ("alice@example.com", "delete", "team/app", "v1", "refused"),
        ("alice@example.com", "delete", "team/app", "v1", "refused"),
        ("alice@example.com", "push", "team/app", "v1", "refused"),
        ("alice@example.com", "pull", "other", "v1", "refused"),
        ("-", "pull", "team/app", "v1", "refused"),
        ("-", "token", "-", "-", "refused"),
        ("-", "pull", "team/app", "v1", "challenged"),
    ]
    assert [line["severity"] for line in lines] == ["WARNING"] * 6 + ["INFO"]


def test_a_token_for_less_than_was_asked_for_is_a_line_only_where_the_caller_is_known(
    app: RestrictedApp, caplog: pytest.LogCaptureFixture
) -> None:
    path = "/v2/token?service=x&scope=repository:secret/app:pull&scope=repository:library/app:pull"

    app.client.request("GET", path)
    assert audited(caplog) == []

    app.client.request("GET", path, headers=ALICE)
    (line,) = audited(caplog)
    assert told(line) == ("alice@example.com", "pull", "secret/app", "token", "refused")


def test_a_source_that_may_not_be_pulled_is_a_line(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is that of a blob that is not there, and only the audit log has the attempt."""
    digest = digest_of(b"bytes")

    for source, headers in (
        ("other/app", ALICE),
        ("other/app", bearer(app.token("repository:team/app:push", "repository:other/app:pull", authorization=BASIC))),
        ("team/two", ALICE),
    ):
        caplog.clear()
        answer = app.client.request(
            "POST", f"/v2/team/app/blobs/uploads/?mount={digest}&from={source}", headers=headers
        )
        assert answer.status == 202
        refusal = [("alice@example.com", "pull", source, digest, "refused")] if source == "other/app" else []
        begun = ("alice@example.com", "push", "team/app", "-", "allowed")
        lines = audited(caplog)
        assert [told(line) for line in lines] == [*refusal, begun]
        assert lines[-1]["audit"]["change"] == "upload-started"


def test_the_time_of_a_line_is_as_cloud_logging_reads_it(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    before = datetime.now(UTC)
    app.client.request("GET", "/v2/other/manifests/v1", headers=ALICE)

    (line,) = audited(caplog)

    # RFC 3339: the offset has a colon.
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+\+00:00", line["time"])
    assert abs(datetime.fromisoformat(line["time"]) - before) < timedelta(minutes=1)


def test_a_write_that_fails_says_so(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    app.client.request("PUT", "/v2/team/app/manifests/v1", b"{", ALICE)

    assert [told(line) for line in audited(caplog)] == [("alice@example.com", "push", "team/app", "v1", "failed")]


def test_reading_what_one_may_read_is_no_line(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/v2/", "/v2/_catalog", "/v2/team/app/tags/list", "/v2/team/app/manifests/v1"):
        app.client.request("GET", path, headers=ALICE)
    app.client.request("GET", "/v2/library/x/tags/list")

    assert audited(caplog) == []


def test_no_reference_breaks_a_line_or_makes_it_long(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    app.client.request("DELETE", f"/v2/team/app/manifests/%0Aaudit%20root{'x' * 5000}", b"", ALICE)

    assert "\n" not in caplog.records[0].getMessage()
    (line,) = audited(caplog)
    assert line["audit"]["reference"].startswith("%0Aaudit%20root")
    assert len(line["audit"]["reference"]) < 800


def test_no_header_breaks_a_line_or_makes_it_long(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    """A server may hand over what HTTP forbids."""
    evil = 'a" audit outcome=allowed\\\n\r\t\x00\x1b[31m\x7f\xe9%22' + "x" * 5000
    names = ("HTTP_USER_AGENT", "HTTP_X_REQUEST_ID", "HTTP_X_CLOUD_TRACE_CONTEXT", "HTTP_TRACEPARENT")
    environ = dict.fromkeys(names, evil) | {"PATH_INFO": "/v2/a/manifests/v1", "REQUEST_METHOD": "PUT"}
    app.client.app.respond(request_of({"SERVER_NAME": "x", "SERVER_PORT": "1", "wsgi.url_scheme": "http", **environ}))

    text = caplog.records[0].getMessage()
    assert text.isprintable()
    assert text.isascii()
    assert text.count('"') == 2
    assert text.count("outcome=") == 1
    assert text.endswith('"')
    assert len(text) < 1500
    (line,) = audited(caplog)
    assert line["audit"]["user_agent"].startswith("a%22 audit outcome%3Dallowed%5C%0A%0D%09%00%1B[31m%7F%E9%2522xx")


@pytest.mark.parametrize("authorization", ["", "Bearer x", BASIC])
def test_no_repository_breaks_a_line_or_makes_it_long(
    app: RestrictedApp, authorization: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for method in ("GET", "PUT"):
        app.client.request(method, f"/v2/a%0Aaudit%20root/{'x' * 5000}/manifests/v1", headers=headers)

    assert "\n" not in "".join(record.getMessage() for record in caplog.records)
    lines = audited(caplog)
    assert lines
    for line in lines:
        assert line["audit"]["repository"].startswith("a%0Aaudit%20root/x")
        assert len(line["audit"]["repository"]) < 800


def test_no_secret_is_in_any_line(app: RestrictedApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = app.token("repository:team/app:pull", authorization=ALICE["Authorization"])
    for headers in (ALICE, bearer(token), {"Authorization": token_as_basic("ya29.wrong")}, bearer(token[:-3])):
        for path in ("/v2/", "/v2/token", "/v2/team/app/tags/list", "/v2/other/tags/list"):
            app.client.request("GET", path, headers=headers)

    assert "ya29" not in caplog.text
    assert token.split(".")[1] not in caplog.text
    assert ALICE["Authorization"].split()[1] not in caplog.text


def test_no_secret_is_in_a_line_about_a_google_that_is_not_there(
    make_app: AppFactory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LADING_IAM_EMULATOR_HOST", "http://127.0.0.1:1")

    answer = make_app(access=f"gs://{BUCKET}").client.request("GET", "/v2/", headers=ALICE)

    assert answer.status == 503
    assert "is unavailable" in caplog.text
    assert "ya29" not in caplog.text
