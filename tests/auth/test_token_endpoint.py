"""/v2/token: what is asked of it, and what it answers."""

from pathlib import Path
from urllib.parse import urlencode

import pytest

from lading.auth.google.subject import MAX_QUERIES
from tests.support.app_client import Client, Response
from tests.support.auth_fixtures import AppFactory
from tests.support.fake_iam_world import (
    BUCKET,
    DELETE,
    PULL,
    PUSH,
    SERVICE,
    URL,
    FakeIamWorld,
    RestrictedApp,
    actions_of,
    bearer,
    claims_of,
    id_token,
    publish_certificates,
    register_service_account,
    service_account_key,
    token_as_basic,
)
from tests.support.server_process import basic, user_environment

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


def test_the_answer_is_what_every_client_reads(app: RestrictedApp) -> None:
    answer = get(app.client, "scope=repository:team-a/app:pull,push", token_as_basic("ya29.alice"))

    assert answer.json.keys() == {"token", "access_token", "expires_in", "issued_at", "scope"}
    assert answer.json["token"] == answer.json["access_token"]
    assert answer.json["expires_in"] == 300
    assert answer.json["issued_at"].endswith("Z")
    assert answer.json["scope"] == "repository:team-a/app:pull,push"
    assert answer.headers["Cache-Control"] == "no-store"
    assert claims_of(answer.json["token"])["sub"] == "alice@example.com"


SCOPES = [
    ("scope=repository:team-a/app:pull", {"team-a/app": ["pull"]}),
    ("scope=repository:team-a/app:push,pull", {"team-a/app": ["pull", "push"]}),
    ("scope=repository:team-a/app:pull&scope=repository:team-a/app:push", {"team-a/app": ["pull", "push"]}),
    ("scope=repository:team-a/app:*", {"team-a/app": ["pull", "push"]}),
    ("scope=repository:team-a/app:pull,push,delete", {"team-a/app": ["pull", "push"]}),
    ("scope=repository:team-b/app:pull,push", {"team-b/app": ["pull"]}),
    ("scope=repository:other/app:pull,push", {}),
    ("scope=repository:library/app:pull,push", {"library/app": ["pull"]}),
    (
        "scope=repository:team-a/app:pull,push%20repository:team-b/app:pull",
        {"team-a/app": ["pull", "push"], "team-b/app": ["pull"]},
    ),
    (
        "scope=repository:team-a/app:pull&scope=repository:team-b/app:pull",
        {"team-a/app": ["pull"], "team-b/app": ["pull"]},
    ),
    ("scope=repository(plugin):team-a/app:pull", {"team-a/app": ["pull"]}),
    ("scope=registry:catalog:*", {"catalog": ["*"]}),
    ("scope=repository:team-a/app:fly", {}),
    ("scope=repository:Team:pull", {}),
    ("scope=repository:team-a/*:pull", {}),
    ("scope=repository:team-a/../team-b:pull", {}),
    ("scope=repository:*:*", {}),
    ("scope=registry:other:*", {}),
    ("scope=whatever", {}),
    ("scope=", {}),
    ("scope=:::", {}),
    ("scope=%00%ff", {}),
    ("", {}),
]


@pytest.mark.parametrize(("query", "granted"), SCOPES)
def test_what_is_allowed_is_granted_and_no_more(app: RestrictedApp, query: str, granted: dict[str, list[str]]) -> None:
    answer = get(app.client, query, token_as_basic("ya29.alice"))

    assert answer.status == 200
    assert actions_of(claims_of(answer.json["token"])["access"]) == granted
    assert set(filter(None, answer.json["scope"].split(" "))) == {
        f"{'registry' if name == 'catalog' else 'repository'}:{name}:{','.join(actions)}"
        for name, actions in granted.items()
    }


def test_an_anonymous_client_gets_what_is_public(app: RestrictedApp) -> None:
    scopes = ("repository:library/app:pull,push", "repository:team-a/app:pull", "registry:catalog:*")
    answer = get(app.client, "&".join(f"scope={scope}" for scope in scopes))

    assert answer.status == 200
    claims = claims_of(answer.json["token"])
    assert actions_of(claims["access"]) == {"library/app": ["pull"]}
    assert (claims["sub"], claims["anonymous"]) == ("", True)
    for path, status in (("library/app/tags/list", 404), ("team-a/app/tags/list", 401), ("_catalog", 401)):
        assert app.client.request("GET", f"/v2/{path}", headers=bearer(answer.json["token"])).status == status


BAD = [
    token_as_basic("ya29.unknown"),
    basic("alice", "ya29.alice"),
    basic("oauth2accesstoken", ""),
    basic("", ""),
    basic("robot+ci", "x"),
    basic("_json_key", "{}"),
    "Basic !!!",
    "Basic",
    "Bearer ya29.alice",
    "Negotiate x",
]


@pytest.mark.parametrize("authorization", BAD)
@pytest.mark.parametrize("query", ["", "scope=repository:library/app:pull", "account=x&offline_token=true&service=s"])
def test_bad_credentials_are_never_taken_for_none(app: RestrictedApp, authorization: str, query: str) -> None:
    answer = get(app.client, query, authorization)

    assert (answer.status, answer.code) == (401, "UNAUTHORIZED")
    assert answer.headers["WWW-Authenticate"].startswith("Basic ")


def test_a_login_without_scope_checks_the_credential(app: RestrictedApp, world: FakeIamWorld) -> None:
    query = f"account=oauth2accesstoken&client_id=docker&offline_token=true&service={SERVICE}"
    assert get(app.client, query, token_as_basic("ya29.alice")).status == 200
    assert get(app.client, query, token_as_basic("ya29.wrong")).status == 401
    register_service_account(world)
    assert get(app.client, query, basic("_json_key", service_account_key())).status == 200
    assert get(app.client, query, basic("_json_key", service_account_key(private_key_id="gone"))).status == 401


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_no_other_method_is_taken(app: RestrictedApp, method: str) -> None:
    assert app.client.request(method, "/v2/token").status == 405


def scopes_of(names: list[str]) -> str:
    return urlencode([("scope", f"repository:{name}:pull") for name in names])


def test_where_google_is_asked_what_is_named_last_is_granted(make_app: AppFactory, world: FakeIamWorld) -> None:
    world.token("alice")
    world.folder("", PULL, member=ALICE)
    app = make_app(access=f"gs://{BUCKET}")
    names = [f"x{number}/a/b/c/d/e" for number in range(100)]
    get(app.client, "", token_as_basic("ya29.alice"))
    world.requests()

    # As a client that collects scopes: the last is the one that it needs now.
    answer = get(app.client, scopes_of(names), token_as_basic("ya29.alice"))

    assert answer.status == 200
    assert len(world.requests()) <= MAX_QUERIES
    granted = [scope.split(":")[1] for scope in answer.json["scope"].split()]
    assert granted == names[-len(granted) :]
    assert 5 < len(granted) < 50
    token = bearer(answer.json["token"])
    # What is left out was not refused: the client may ask for a token with that.
    for name, status in ((names[-1], 404), (names[0], 401)):
        assert app.client.request("GET", f"/v2/{name}/tags/list", headers=token).status == status
    later = get(app.client, scopes_of([*names[1:], names[0]]), token_as_basic("ya29.alice"))
    assert later.json["scope"].endswith(f"repository:{names[0]}:pull")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_local_user_gets_all_scopes_of_a_client_that_collects_them(
    make_app: AppFactory, tmp_path: Path, method: str
) -> None:
    variables, admin = user_environment(tmp_path / "access")
    app = make_app(**{name.removeprefix("LADING_").lower(): value for name, value in variables.items()})
    names = [f"team/app-{number}" for number in range(600)]
    if method == "GET":
        answer = get(app.client, scopes_of(names), admin)
    else:
        scope = " ".join(f"repository:{name}:pull" for name in names)
        answer = post(app.client, grant_type="password", username="admin", password="secret", scope=scope)

    assert answer.status == 200
    assert len(answer.json["token"]) < 15 * 1024
    assert answer.json["scope"].split() == [f"repository:{name}:pull" for name in names[100:]]
    token = bearer(answer.json["token"])
    for name, status in ((names[100], 404), (names[599], 404), (names[0], 401)):
        assert app.client.request("GET", f"/v2/{name}/tags/list", headers=token).status == status


def test_overlong_scopes_are_left_out(app: RestrictedApp) -> None:
    long = f"repository:{'x' * 70_000}:pull"
    query = urlencode([("scope", long), ("scope", "repository:team-a/app:pull")])

    assert get(app.client, query, token_as_basic("ya29.alice")).json["scope"] == "repository:team-a/app:pull"
    assert get(app.client, urlencode({"scope": long}), token_as_basic("ya29.alice")).json["scope"] == ""


def test_who_serves_is_what_the_setting_says_and_never_host(app: RestrictedApp) -> None:
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher"}

    challenged = app.client.request("GET", "/v2/", headers=headers)
    assert challenged.headers["WWW-Authenticate"] == f'Bearer realm="{URL}/v2/token",service="{SERVICE}"'
    token = app.client.request("GET", "/v2/token?service=evil.example", headers=headers).json["token"]
    assert (claims_of(token)["iss"], claims_of(token)["aud"]) == (URL, SERVICE)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v2/", ""),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("HEAD", "/v2/a/b/manifests/v1", "repository:a/b:pull"),
        ("GET", "/v2/a/b/referrers/x", "repository:a/b:pull"),
        ("PUT", "/v2/a/b/manifests/v1", "repository:a/b:pull,push"),
        ("POST", "/v2/a/b/blobs/uploads/", "repository:a/b:pull,push"),
        ("POST", "/v2/a/blobs/uploads/?mount=x&from=c/d", "repository:a:pull,push repository:c/d:pull"),
        ("POST", "/v2/a/blobs/uploads/?mount=x&from=%22,x=%22", "repository:a:pull,push"),
        ("DELETE", "/v2/a/b/manifests/v1", "repository:a/b:pull,delete"),
    ],
)
def test_the_challenge_says_which_token_will_do(app: RestrictedApp, method: str, path: str, scope: str) -> None:
    answer = app.client.request(method, path)

    expected = f'Bearer realm="{URL}/v2/token",service="{SERVICE}"' + (f',scope="{scope}"' if scope else "")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, expected)


def test_basic_goes_straight_to_every_route(app: RestrictedApp) -> None:
    headers = {"Authorization": token_as_basic("ya29.alice")}

    assert app.client.request("GET", "/v2/", headers=headers).status == 200
    assert app.client.request("POST", "/v2/team-a/app/blobs/uploads/", headers=headers).status == 202
    refused = app.client.request("DELETE", "/v2/team-a/app/manifests/v1", headers=headers)
    assert (refused.status, refused.code) == (403, "DENIED")
    assert refused.json["errors"][0]["message"] == (
        'Permission "storage.objects.delete" denied on resource '
        '"projects/_/buckets/policy/managedFolders/team-a/app/" (or it may not exist)'
    )
    assert "WWW-Authenticate" not in refused.headers


@pytest.mark.parametrize("path", ["/v2/token?scope=repository:team-a/app:pull", "/v2/", "/v2/team-a/app/tags/list"])
def test_without_google_the_answer_is_503(app: RestrictedApp, world: FakeIamWorld, path: str) -> None:
    world.outage("", 500)

    answer = app.client.request("GET", path, headers={"Authorization": token_as_basic("ya29.alice")})

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


def test_the_user_name_for_an_id_token(make_app: AppFactory, world: FakeIamWorld) -> None:
    publish_certificates(world)
    app = make_app(public="library/*")

    token = app.token(authorization=basic("oauth2accesstoken", id_token("bob@example.com")))

    assert claims_of(token)["sub"] == "bob@example.com"


def test_delete_alone_is_not_pull_and_push(make_app: AppFactory, world: FakeIamWorld) -> None:
    world.folder("x/", DELETE, member=ALICE)
    world.token("alice")
    app = make_app(access=f"gs://{BUCKET}")

    token = app.token("repository:x/app:*", authorization=token_as_basic("ya29.alice"))

    assert actions_of(claims_of(token)["access"]) == {"x/app": ["delete"]}
