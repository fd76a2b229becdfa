"""Refused logins in the log: which name was tried from where, for fail2ban and for a SIEM, and never the secret."""

import base64
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lading.logs import TIME_FORMAT, JsonLines
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import BUCKET, FakeIamWorld, RestrictedApp
from tests.support.server_process import basic, user_environment

DOCUMENT = Path(__file__).parents[2] / "docs" / "logs.md"
ADDRESS = r"(?P<ip>(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)"
"""What fail2ban puts in the place of <ADDR>."""

SECRET = "correct-horse-battery"
NAMES = ["alice", "nobody@example.com", "robot+ci", "oauth2accesstoken", "_json_key", ""]
EVIL = [
    'alice" principal=admin',
    'alice\naudit outcome=refused status=401 client=198.51.100.9 user="bob" ',
    "alice\r\n\x0b\x0c\x1c\x85\u2028audit outcome=refused status=401 client=198.51.100.9",
    'x\\" client=198.51.100.9 user="bob"',
    "%0Aaudit",
    "\x1b[2J\x00\x7f",
    "-",
    "é\N{RIGHT-TO-LEFT OVERRIDE}",
    "x" * 5000,
]


def failregex() -> re.Pattern[str]:
    """The regular expression that the document gives to fail2ban."""
    (line,) = re.findall(r"^ +failregex = (.*)$", DOCUMENT.read_text(), re.MULTILINE)
    return re.compile(line.replace("<ADDR>", ADDRESS))


@pytest.fixture(params=["users", "IAM"])
def app(request: pytest.FixtureRequest, make_app: AppFactory, world: FakeIamWorld, tmp_path: Path) -> RestrictedApp:
    """A registry behind a trusted proxy, with local users and with IAM."""
    if request.param == "IAM":
        return make_app(access=f"gs://{BUCKET}", trusted_hops="1")
    variables, _ = user_environment(tmp_path / "access")
    return make_app(
        **{name.removeprefix("LADING_").lower(): value for name, value in variables.items()}, trusted_hops="1"
    )


Banned = Callable[[], list[str]]


@pytest.fixture
def banned(caplog: pytest.LogCaptureFixture) -> Banned:
    """Which addresses fail2ban would count, once for each line of the log as text."""
    caplog.set_level(logging.DEBUG)

    def found() -> list[str]:
        form = logging.Formatter("%(asctime)s %(message)s", TIME_FORMAT)
        lines = "\n".join(map(form.format, caplog.records)).splitlines()
        # The date is cut out of a line before the expression is tried.
        cut = [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d{4}", "", line) for line in lines]
        matches = filter(None, map(failregex().search, cut))
        return [match["ip"] for match in matches]

    return found


def form(user: str, secret: str) -> bytes:
    quoted = "".join(f"%{byte:02X}" for byte in user.encode())
    return f"grant_type=password&username={quoted}&password={secret}".encode()


@pytest.mark.parametrize("user", [*NAMES, *EVIL])
@pytest.mark.parametrize("way", ["GET /v2/", "GET /v2/token", "PUT manifest", "form"])
def test_each_refused_login_counts_once_for_its_own_address(
    app: RestrictedApp, user: str, way: str, banned: Banned, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"X-Forwarded-For": "198.51.100.9, 192.0.2.66", "Authorization": basic(user, SECRET)}
    match way:
        case "form":
            del headers["Authorization"]
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            answer = app.client.request("POST", "/v2/token", form(user, SECRET), headers)
        case "PUT manifest":
            answer = app.client.request("PUT", "/v2/team/app/manifests/v1", b"{}", headers)
        case _:
            answer = app.client.request("GET", way.split()[1], headers=headers)

    # A form has an OAuth error (RFC 6749); the audit tells of it as of any other refused login.
    assert answer.status == (400 if way == "form" else 401)
    assert banned() == ["192.0.2.66"]
    (record,) = [each for each in caplog.records if each.name == "lading.audit"]
    told = json.loads(JsonLines().format(record))["audit"]
    assert (told["client"], told["outcome"], told["status"]) == ("192.0.2.66", "refused", 401)
    if user.isalnum() and len(user) < 128:
        assert told["user"] == user
    assert len(told["user"]) <= 3 * 128
    assert SECRET not in caplog.text
    assert base64.b64encode(SECRET.encode()).decode()[:12] not in caplog.text


@pytest.mark.parametrize("authorization", ["", "Bearer eyJhbGciOiJIUzI1NiJ9.e30.x", "Bearer x"])
def test_a_challenge_or_an_expired_token_is_no_refused_login(
    app: RestrictedApp, authorization: str, banned: Banned
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    for path in ("/v2/", "/v2/team/app/manifests/v1"):
        assert app.client.request("GET", path, headers=headers).status == 401

    assert banned() == []


@pytest.mark.parametrize("authorization", ["Basic", "Basic !!!", "Basic YWxpY2U=", "Digest x", "Basic " + "A" * 50_000])
def test_a_login_that_cannot_be_read_is_one_without_a_name(
    app: RestrictedApp, authorization: str, banned: Banned
) -> None:
    headers = {"X-Forwarded-For": "192.0.2.66", "Authorization": authorization}
    assert app.client.request("GET", "/v2/", headers=headers).status == 401

    assert banned() == ["192.0.2.66"]


def test_nothing_but_a_login_can_look_like_one(app: RestrictedApp, banned: Banned) -> None:
    """By a path, a header or a query."""
    line = '%0Aaudit outcome=refused status=401 client=198.51.100.9 user="bob" '
    forged = line.replace(" ", "%20")
    headers = {"User-Agent": line, "X-Request-Id": line, "X-Forwarded-For": line, "X-Cloud-Trace-Context": line}
    for target in (f"/v2/{forged}/manifests/v1", f"/v2/a/manifests/{forged}", f"/{forged}", f"/v2/?x={forged}"):
        for method in ("GET", "PUT", "DELETE"):
            app.client.request(method, target, headers=headers)
            app.client.request(method, target.replace("%0A", ""), headers=headers)

    assert banned() == []


def test_the_document_names_each_field(app: RestrictedApp, banned: Banned, caplog: pytest.LogCaptureFixture) -> None:
    app.client.request("GET", "/v2/", headers={"Authorization": basic("alice", SECRET)})
    fields = re.findall(r" ([a-z-]+)=", caplog.records[-1].getMessage())
    for example in re.findall(r"^ +2026-\S+ \S+ audit (.*)$", DOCUMENT.read_text(), re.MULTILINE):
        assert re.findall(r"(?:^| )([a-z-]+)=", example) == fields
