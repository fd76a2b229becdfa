"""The token endpoint by POST: OAuth 2 forms and their errors."""

from urllib.parse import urlencode

import pytest

from tests.support.app_client import Client, Response
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import (
    BUCKET,
    PULL,
    PUSH,
    SERVICE,
    FakeIamWorld,
    RestrictedApp,
    claims_of,
    token_as_basic,
)

FORM = {"Content-Type": "application/x-www-form-urlencoded"}

ALICE = "user:alice@example.com"


@pytest.fixture
def app(make_app: AppFactory, world: FakeIamWorld) -> RestrictedApp:
    """A registry where alice may pull and push in team-a, and all may pull from library."""
    world.token("alice")
    world.folder("team-a/", PULL, PUSH, member=ALICE)
    world.folder("team-b/", PULL, member=ALICE)
    return make_app(access=f"gs://{BUCKET}", folders="team-a,team-b", public="library/*")


def get(client: Client, query: str = "", authorization: str = "") -> Response:
    return client.request(
        "GET", f"/v2/token?{query}", headers={"Authorization": authorization} if authorization else {}
    )


def post(client: Client, **fields: str) -> Response:
    return client.request("POST", "/v2/token", urlencode(fields).encode(), FORM)


TWO = "repository:team-a/app:pull,push repository:team-b/app:pull"


@pytest.mark.parametrize("scope", [TWO, "", "registry:catalog:*"])
def test_post_says_what_get_says(app: RestrictedApp, scope: str) -> None:
    expected = claims_of(get(app.client, urlencode({"scope": scope}), token_as_basic("ya29.alice")).json["token"])
    password = {"grant_type": "password", "username": "oauth2accesstoken", "password": "ya29.alice"}
    refresh = {"grant_type": "refresh_token", "refresh_token": "ya29.alice"}

    for grant in (password, refresh):
        answer = post(app.client, **grant, service=SERVICE, client_id="containerd-client", scope=scope)
        assert answer.status == 200
        assert "refresh_token" not in answer.json
        same = dict.fromkeys(("jti", "iat", "nbf", "exp"))
        assert claims_of(answer.json["access_token"]) | same == expected | same


PASSWORD = {"grant_type": "password", "username": "oauth2accesstoken"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({**PASSWORD, "password": "ya29.wrong"}, "invalid_grant"),
        ({**PASSWORD, "password": "x" * 20_000}, "invalid_grant"),
        ({"grant_type": "password", "username": "x" * 20_000, "password": "x"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "ya29.wrong"}, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "x"}, "invalid_grant"),
        (PASSWORD, "invalid_request"),
        ({"grant_type": "password", "password": "x"}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"username": "x", "password": "x"}, "invalid_request"),
        ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
        ({"grant_type": "Password", "username": "x", "password": "x"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({f"field{number}": "x" for number in range(100)}, "invalid_request"),
        ({**PASSWORD, "password": "x" * 70_000}, "invalid_request"),
    ],
)
def test_a_form_that_will_not_do_has_an_oauth_error(app: RestrictedApp, fields: dict[str, str], error: str) -> None:
    answer = post(app.client, **fields)

    # RFC 6749, section 5.2, and the distribution-spec's errors, which docker shows.
    assert (answer.status, answer.json["error"], answer.headers["Cache-Control"]) == (400, error, "no-store")
    assert set(answer.json["error_description"]) <= set(map(chr, range(0x20, 0x7F))) - set('"\\')
    assert answer.code == ("UNAUTHORIZED" if error == "invalid_grant" else "UNSUPPORTED")
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.parametrize("name", ["grant_type", "username", "password"])
def test_a_field_that_is_there_twice_is_refused(app: RestrictedApp, name: str) -> None:
    fields = {**PASSWORD, "password": "ya29.alice"}
    body = urlencode([*fields.items(), (name, fields[name])]).encode()

    assert app.client.request("POST", "/v2/token", body, FORM).json["error"] == "invalid_request"


@pytest.mark.parametrize("query", ["offline_token=true", "access_type=offline"])
def test_no_refresh_token_is_given_out(app: RestrictedApp, query: str) -> None:
    assert "refresh_token" not in get(app.client, query, token_as_basic("ya29.alice")).json
    fields = {**PASSWORD, "password": "ya29.alice", **dict([query.split("=")])}
    assert "refresh_token" not in post(app.client, **fields).json


def test_a_form_without_google_is_503(app: RestrictedApp, world: FakeIamWorld) -> None:
    world.outage("", 500)

    assert post(app.client, **PASSWORD, password="ya29.alice").status == 503


def test_a_body_that_is_no_form_is_refused(app: RestrictedApp) -> None:
    for body, media_type in ((b"{}", "application/json"), (b"\xff\xfe", FORM["Content-Type"]), (b"x=1", "text/plain")):
        answer = app.client.request("POST", "/v2/token", body, {"Content-Type": media_type})
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")
