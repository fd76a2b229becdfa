"""Tokens that tokeninfo does not know, or of which it tells little: what they may do, and whose they are."""

import json
from importlib.resources import files
from typing import Any

import pytest

from lading.auth.access import ON_REPOSITORIES, Action, Effect
from lading.auth.google import policy_bucket, project
from lading.auth.google.client import GoogleClient
from lading.auth.google.google_tokens import Pseudonyms, identity_without_tokeninfo
from lading.auth.google.iam import IamAuthorizer, IamCaller
from lading.auth.google.policy_bucket import PolicyBucket
from lading.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError
from tests.support.fake_iam_world import (
    BUCKET,
    DELETE,
    PLATFORM_SCOPE,
    POOL,
    PSEUDONYMS,
    PULL,
    PUSH,
    READ_ONLY_SCOPE,
    READ_WRITE_SCOPE,
    SERVICE_ACCOUNT,
    STORAGE,
    FakeIamWorld,
    json_base64,
    register_service_account,
    self_signed,
)

WORKLOAD = f"{POOL}/subject/s"
ALICE = "user:alice@example.com"


@pytest.fixture(params=[404, 403])
def all_granted(request: pytest.FixtureRequest, world: FakeIamWorld) -> FakeIamWorld:
    """A world in which alice, a workload and a service account may do all in team-a, in both of Google's dialects."""
    register_service_account(world)
    world.missing_folders(request.param)
    for member in (ALICE, WORKLOAD, f"serviceAccount:{SERVICE_ACCOUNT}"):
        world.folder("team-a/", PULL, PUSH, DELETE, member=member)
    return world


def identified(token: str, unscoped: str = "pull", pseudonyms: Pseudonyms = PSEUDONYMS) -> IamCaller:
    google = GoogleClient()
    bucket = PolicyBucket(google, BUCKET, [])
    return IamAuthorizer(google, bucket, pseudonyms, unscoped).identify("oauth2accesstoken", token)


def allowed(caller: IamCaller) -> list[str]:
    return [action.value for action in ON_REPOSITORIES if caller.decide(action, "team-a/web/app").allowed]


@pytest.mark.parametrize("refusal", [400, 401, 403, 404])
def test_a_token_that_tokeninfo_refuses_may_only_pull(all_granted: FakeIamWorld, refusal: int) -> None:
    all_granted.tokeninfo(federated=refusal)
    caller = identified(all_granted.federated("s"))

    assert allowed(caller) == ["pull"]
    assert caller.decide(Action.PUSH, "team-a/app").effect is Effect.DENIED
    assert "--unscoped-tokens is pull" in caller.decide(Action.PUSH, "team-a/app").rule


@pytest.mark.parametrize("refusal", [403, 404])
def test_a_token_for_reading_may_not_push_where_tokeninfo_refuses_it(all_granted: FakeIamWorld, refusal: int) -> None:
    assert allowed(identified(all_granted.token("alice", READ_ONLY_SCOPE, tokeninfo=refusal))) == ["pull"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_where_tokeninfo_fails_no_token_is_taken_for_an_unknown_one(all_granted: FakeIamWorld, status: int) -> None:
    all_granted.tokeninfo(federated=status)

    with pytest.raises(RegistryError) as raised:
        identified(all_granted.federated("s"))
    assert raised.value.descriptor is UNAVAILABLE


@pytest.mark.parametrize(
    ("setting", "actions"),
    [("pull", ["pull"]), ("push", ["pull", "push"]), ("delete", ["pull", "push", "delete"])],
)
def test_the_maximum_rights_of_a_federated_token_are_a_setting(
    all_granted: FakeIamWorld, setting: str, actions: list[str]
) -> None:
    assert allowed(identified(all_granted.federated("s"), setting)) == actions
    # And never more than IAM lets it do.
    assert allowed(identified(all_granted.federated("stranger"), setting)) == []


def test_federated_tokens_can_be_refused_and_no_others_are(all_granted: FakeIamWorld) -> None:
    with pytest.raises(RegistryError) as raised:
        identified(all_granted.federated("s"), "refuse")
    assert raised.value.descriptor is UNAUTHORIZED

    assert allowed(identified(self_signed(), "refuse")) == ["pull", "push", "delete"]
    assert allowed(identified(all_granted.token("alice"), "refuse")) == ["pull", "push", "delete"]


@pytest.mark.parametrize(
    ("claims", "actions"),
    [
        ({}, ["pull", "push", "delete"]),
        ({"scope": f"openid {READ_WRITE_SCOPE}"}, ["pull", "push", "delete"]),
        ({"scope": READ_ONLY_SCOPE}, ["pull"]),
        # With an audience there is no scope to read: the setting decides.
        ({"scope": None, "aud": STORAGE}, ["pull"]),
    ],
)
@pytest.mark.parametrize("refusal", [400, 403, 404])
def test_a_self_signed_token_may_do_what_its_own_scope_says(
    all_granted: FakeIamWorld, claims: dict[str, Any], actions: list[str], refusal: int
) -> None:
    all_granted.tokeninfo(self_signed=refusal)
    caller = identified(self_signed(**claims))

    assert caller.principal == SERVICE_ACCOUNT
    assert allowed(caller) == actions


@pytest.mark.parametrize("name", ["scope", "sub", "iss", "aud"])
@pytest.mark.parametrize("value", [[SERVICE_ACCOUNT], {"a": SERVICE_ACCOUNT}, 1, 1e400, True, None, {}])
def test_claims_of_another_type_say_nothing(name: str, value: object) -> None:
    claims = {"iss": SERVICE_ACCOUNT, "sub": SERVICE_ACCOUNT, "scope": PLATFORM_SCOPE} | {name: value}
    token = f"{json_base64({'alg': 'RS256', 'typ': 'JWT', 'kid': '1'})}.{json_base64(claims)}.c2lnbmF0dXJl"

    identity = identity_without_tokeninfo(token, PSEUDONYMS)

    assert identity.scopes is None
    assert (identity.principal == SERVICE_ACCOUNT) == (name in ("scope", "aud"))


@pytest.mark.parametrize("scope", ["openid", "https://www.googleapis.com/auth/userinfo.email", ""])
def test_a_token_without_a_storage_scope_is_denied_and_asks_nothing(all_granted: FakeIamWorld, scope: str) -> None:
    caller = identified(all_granted.token("alice", scope))
    all_granted.requests()

    for action in ON_REPOSITORIES:
        assert caller.decide(action, "team-a/app").effect is Effect.DENIED
    assert all_granted.requests() == []


def test_the_buckets_403_is_a_no(all_granted: FakeIamWorld) -> None:
    caller = identified(all_granted.token("alice"))
    all_granted.outage("storage/", 403)

    assert caller.decide(Action.PULL, "team-a/app").effect is Effect.DENIED
    assert caller.readable_patterns() == ()


def test_the_scopes_are_those_of_googles_discovery_documents() -> None:
    def scopes_of(document: str, *path: str) -> set[str]:
        text = files("googleapiclient.discovery_cache").joinpath("documents", f"{document}.json").read_text()
        found = json.loads(text)
        for name in path:
            found = found["resources"][name]
        return set(found["methods"]["testIamPermissions"]["scopes"])

    assert scopes_of("storage.v1", "managedFolders") == policy_bucket.SCOPES
    assert scopes_of("storage.v1", "buckets") == policy_bucket.SCOPES
    assert scopes_of("cloudresourcemanager.v1", "projects") == project.SCOPES


@pytest.mark.parametrize(
    ("known", "principal"),
    [
        ({}, "alice@example.com"),
        ({"email": "", "sub": "12345"}, "12345"),
        # A service account's number, and the client that issues the tokens of all its users.
        ({"email": "", "sub": "", "azp": "114624943209879083132"}, "114624943209879083132"),
        ({"email": "", "sub": "", "azp": "32555940559.apps.googleusercontent.com"}, "token:"),
        ({"email": "", "sub": "", "azp": ""}, "token:"),
    ],
)
def test_the_principal_is_the_email_else_the_number_else_a_pseudonym(
    world: FakeIamWorld, known: dict[str, str], principal: str
) -> None:
    named = identified(world.token("alice", **known)).principal

    assert named.startswith(principal)
    assert (named == principal) == (principal != "token:")


def test_users_of_one_oauth_client_are_not_one_principal(world: FakeIamWorld) -> None:
    client = {"email": "", "sub": "", "azp": "32555940559.apps.googleusercontent.com"}
    tokens = [world.token(name, **client) for name in ("alice", "bob")]

    assert identified(tokens[0]).principal != identified(tokens[1]).principal


def test_a_federated_caller_has_a_name_that_is_the_same_in_all_instances(all_granted: FakeIamWorld) -> None:
    one, other = all_granted.federated("s"), all_granted.federated("s", "other")
    names = [identified(token).principal for token in (one, one, other)]

    assert names[0] == names[1]
    assert names[0] != names[2]
    assert names[0].startswith("federated:")
    assert len(names[0]) == len("federated:") + 16
    elsewhere = Pseudonyms(lambda: b"another registry's key")
    assert identified(one, pseudonyms=elsewhere).principal != names[0], "it tells nothing to who has the token alone"
