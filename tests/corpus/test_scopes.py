"""Scopes that ask for more than they seem to: what is granted is what the user may do, on names as they are written."""

from urllib.parse import quote

import pytest

from tests.corpus.user_headers import Headers
from tests.support.fake_iam_world import SERVICE, RestrictedApp, actions_of, bearer, claims_of

NOTHING: dict[str, list[str]] = {}
ALL = ["pull", "push", "delete"]
LONG = "a" * 255

# alice may do all in team/*, all may pull from library/*, and no user has a right in other/*.
ROWS: tuple[tuple[str, dict[str, list[str]]], ...] = (
    ("repository:team/app:pull,push,delete,admin,*", {"team/app": ALL}),
    ("repository:team/app:pull repository:other/app:pull", {"team/app": ["pull"]}),
    ("repository:team/app:pull  repository:team/app:delete", {"team/app": ["pull", "delete"]}),
    ("repository:team/app:PULL", NOTHING),
    ("repository:team/app: pull", NOTHING),
    ("repository:team/app:pull, push", {"team/app": ["pull"]}),
    ("repository:team/app:pull\tpush", NOTHING),
    ("repository:team/app:pull\nrepository:other/app:pull", NOTHING),
    ("repository:team/app:pull\x00", NOTHING),
    ("repository:team/app\x00:pull", NOTHING),
    ("repository:team/app:pull;push", NOTHING),
    ("repository:team/app", NOTHING),
    ("repository:team/app:", NOTHING),
    ("repository::pull", NOTHING),
    ("repository:team/app:pull:push", NOTHING),
    ("repository:registry.example/team/app:pull", NOTHING),
    ("repository:registry.example:5000/team/app:pull", NOTHING),
    ("repository:team/../other/app:pull", NOTHING),
    ("repository:team//app:pull", NOTHING),
    ("repository:/team/app:pull", NOTHING),
    ("repository:team/app/:pull", NOTHING),
    ("repository:team%2Fapp:pull", NOTHING),
    ("repository:team/%61pp:pull", NOTHING),
    ("repository:TEAM/app:pull", NOTHING),
    ("repository:t\u0435am/app:pull", NOTHING),
    ("repository:team:pull", NOTHING),
    ("repository:team/*:pull", NOTHING),
    ("repository:*:pull", NOTHING),
    ("REPOSITORY:team/app:pull", NOTHING),
    ("repositories:team/app:pull", NOTHING),
    ("repository(plugin):other/app:pull", NOTHING),
    ("repository(:team/app:pull", {"team/app": ["pull"]}),
    ("registry:catalog:*", {"catalog": ["*"]}),
    ("registry:catalog:pull", NOTHING),
    ("registry:catalog:*,delete", NOTHING),
    ("registry:*:*", NOTHING),
    ("registry:catalog:* repository:other/app:*", {"catalog": ["*"]}),
    ("repository:library/app:*", {"library/app": ["pull"]}),
    (f"repository:team/{LONG}:pull", NOTHING),
    (f"repository:team/{LONG[:250]}:pull", {f"team/{LONG[:250]}": ["pull"]}),
)


@pytest.mark.parametrize(("scope", "granted"), ROWS, ids=[ascii(scope)[:60] for scope, _ in ROWS])
def test_a_scope_grants_what_the_user_may_do_and_no_more(
    scope: str, granted: dict[str, list[str]], guarded: RestrictedApp, headers: Headers
) -> None:
    target = f"/v2/token?service={SERVICE}&scope={quote(scope, safe='')}"

    answer = guarded.client.request("GET", target, headers=headers("alice"))

    assert answer.status == 200
    claims = claims_of(answer.json["token"])
    assert (actions_of(claims["access"]), claims["sub"]) == (granted, "alice")
    # A token says what it was refused, and that is nothing that it grants.
    assert not {(each["name"], action) for each in claims["refused"] for action in each["actions"]} & {
        (name, action) for name, actions in granted.items() for action in actions
    }


@pytest.mark.parametrize("user", ["", "bob", "dave"])
def test_parameters_beside_the_scope_grant_nothing(user: str, guarded: RestrictedApp, headers: Headers) -> None:
    """The account is that of the credentials, and the service that of the setting."""
    query = "account=alice&client_id=x&offline_token=true&service=other.example&sub=alice&access=*&actions=pull"

    answer = guarded.client.request("GET", f"/v2/token?{query}&scope=repository:team/app:pull", headers=headers(user))

    claims = claims_of(answer.json["token"])
    assert (claims["sub"], claims["aud"], claims["access"]) == (user, SERVICE, [])
    assert guarded.client.request("GET", "/v2/team/app/tags/list", headers=bearer(answer.json["token"])).status in (
        401,
        403,
    )
