"""IAM on a policy bucket and on a project: which questions are asked, what the answers mean, how long they count."""

from typing import Any

import pytest
import requests

from lading.auth import cache
from lading.auth.access import ON_REPOSITORIES, Action
from lading.auth.google import client
from lading.auth.google.client import GoogleClient, Reply
from lading.auth.google.iam import IamAuthorizer
from lading.auth.google.policy_bucket import PolicyBucket
from lading.auth.google.project import Project
from lading.auth.google.subject import IamSubject
from lading.registry.errors import UNAVAILABLE, RegistryError
from tests.support.auth_fixtures import Clock
from tests.support.fake_iam_world import (
    BUCKET,
    DELETE,
    PROJECT,
    PSEUDONYMS,
    PULL,
    PUSH,
    READ_ONLY_SCOPE,
    READ_WRITE_SCOPE,
    FakeIamWorld,
)

ALICE = "user:alice@example.com"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(cache.ResultCache.__init__, "__defaults__", (clock,))
    return clock


def authorizer(*folders: str) -> IamAuthorizer:
    google = GoogleClient()
    return IamAuthorizer(google, PolicyBucket(google, BUCKET, folders), PSEUDONYMS)


def questions(world: FakeIamWorld) -> list[str]:
    """The folders that were asked about since the last time, "" for the bucket, each with its status."""
    asked = []
    for request in world.requests():
        if "/iam/testPermissions" in request:
            _, path, status = request.split()
            folder = path.partition("/managedFolders/")[2].partition("/iam/")[0].replace("%2F", "/")
            asked.append(f"{folder} {status}".strip())
    return asked


def test_the_longest_folder_is_asked_first_then_its_parents_then_the_bucket(world: FakeIamWorld) -> None:
    token = world.token("alice")
    world.folder("", PULL, member=ALICE)
    caller = authorizer().identify("oauth2accesstoken", token)

    decision = caller.decide(Action.PULL, "team-a/web/app")

    assert decision.allowed
    assert questions(world) == ["team-a/web/app/ 404", "team-a/web/ 404", "team-a/ 404", "200"]
    assert [each.partition(":")[0] for each in decision.consulted] == [
        "managed folder team-a/web/app/ of bucket policy",
        "managed folder team-a/web/ of bucket policy",
        "managed folder team-a/ of bucket policy",
        "bucket policy",
    ]
    assert decision.rule == "storage.objects.get is granted on bucket policy"


def test_a_folder_that_exists_speaks_even_where_it_grants_nothing(world: FakeIamWorld) -> None:
    token = world.token("alice")
    world.folder("team-a/", PULL, member="user:bob@example.com")
    caller = authorizer().identify("oauth2accesstoken", token)

    assert not caller.decide(Action.PULL, "team-a/app").allowed
    assert questions(world) == ["team-a/app/ 404", "team-a/ 200"]


def test_a_repository_is_under_the_folder_of_its_own_name(world: FakeIamWorld) -> None:
    token = world.token("alice")
    world.folder("team-a/", PULL, member=ALICE)
    caller = authorizer().identify("oauth2accesstoken", token)

    assert caller.decide(Action.PULL, "team-a").allowed
    assert not caller.decide(Action.PULL, "team-ab").allowed
    assert not caller.decide(Action.PULL, "team").allowed
    assert not caller.decide(Action.PULL, "x/team-a").allowed


def test_rights_add_up_from_the_bucket_down(world: FakeIamWorld) -> None:
    token = world.token("alice")
    world.folder("", PULL, member=ALICE)
    world.folder("team-a/", PUSH, member="group:devs@example.com")
    world.folder("team-a/web/", DELETE, member=ALICE)
    world.fields["groups"] = {"group:devs@example.com": [ALICE]}
    world.save()
    caller = authorizer().identify("oauth2accesstoken", token)

    def allowed(name: str) -> list[str]:
        return [action.value for action in ON_REPOSITORIES if caller.decide(action, name).allowed]

    assert allowed("other") == ["pull"]
    assert allowed("team-a/app") == ["pull", "push"]
    assert allowed("team-a/web/app") == ["pull", "push", "delete"]


def test_a_long_name_asks_no_more_than_folders_can_be_deep(world: FakeIamWorld) -> None:
    caller = authorizer().identify("oauth2accesstoken", world.token("alice"))
    world.folder("", PULL, member=ALICE)
    questions(world)

    assert caller.decide(Action.PULL, "/".join("a" * 120)).allowed

    assert len(questions(world)) == 16


@pytest.mark.parametrize("status", [400, 404, 409, 500])
def test_any_other_status_is_no_answer(world: FakeIamWorld, status: int) -> None:
    caller = authorizer().identify("oauth2accesstoken", world.token("alice"))
    world.folder("", PULL, member=ALICE)
    world.outage("storage/", status)

    with pytest.raises(RegistryError) as raised:
        caller.decide(Action.PULL, "team-a/app")
    assert raised.value.descriptor is UNAVAILABLE


def test_a_bucket_that_is_not_there_is_no_answer(world: FakeIamWorld) -> None:
    caller = authorizer().identify("oauth2accesstoken", world.token("alice"))

    with pytest.raises(RegistryError) as raised:
        caller.decide(Action.PULL, "team-a/app")
    assert raised.value.descriptor is UNAVAILABLE


@pytest.mark.parametrize(
    ("scope", "may_write"),
    [
        ("https://www.googleapis.com/auth/cloud-platform", True),
        (READ_WRITE_SCOPE, True),
        ("https://www.googleapis.com/auth/devstorage.full_control openid", True),
        (READ_ONLY_SCOPE, False),
        ("https://www.googleapis.com/auth/cloud-platform.read-only", False),
        (f"openid {READ_ONLY_SCOPE}", False),
    ],
)
def test_to_write_a_token_needs_a_scope_that_writes(world: FakeIamWorld, scope: str, may_write: bool) -> None:
    world.folder("team-a/", PULL, PUSH, DELETE, member=ALICE)
    caller = authorizer().identify("oauth2accesstoken", world.token("alice", scope))

    assert caller.decide(Action.PULL, "team-a/app").allowed
    assert caller.decide(Action.PUSH, "team-a/app").allowed == may_write
    assert caller.decide(Action.DELETE, "team-a/app").allowed == may_write


def test_a_yes_counts_for_a_minute_and_a_no_for_seconds(world: FakeIamWorld, clock: Clock) -> None:
    token = world.token("alice")
    world.folder("team-a/", PULL, member=ALICE)
    caller = authorizer().identify("oauth2accesstoken", token)

    def allowed() -> tuple[bool, bool]:
        decided = [caller.decide(action, "team-a/app").allowed for action in (Action.PULL, Action.PUSH)]
        return decided[0], decided[1]

    assert allowed() == (True, False)
    assert len(questions(world)) == 2, "one question for all actions"
    assert allowed() == (True, False)
    assert questions(world) == []

    world.fields["buckets"][BUCKET]["managedFolders"]["team-a/"] = {ALICE: [PUSH]}
    world.save()
    clock.now += 4.9
    assert allowed() == (True, False)
    clock.now += 0.2
    assert caller.decide(Action.PUSH, "team-a/app").allowed
    clock.now += 61
    assert allowed() == (False, True)


def test_answers_are_remembered_by_token_and_repository(world: FakeIamWorld) -> None:
    world.folder("team-a/", PULL, member=ALICE)
    shared = authorizer()
    alice = shared.identify("oauth2accesstoken", world.token("alice"))
    bob = shared.identify("oauth2accesstoken", world.token("bob"))

    assert alice.decide(Action.PULL, "team-a/app").allowed
    assert not bob.decide(Action.PULL, "team-a/app").allowed
    assert not alice.decide(Action.PULL, "team-b/app").allowed


def test_what_is_remembered_is_bounded_and_holds_no_token(world: FakeIamWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ENTRIES", 10)
    answers: cache.ResultCache[int, int] = cache.ResultCache(bool)
    for number in range(100):
        assert answers.get(number, lambda number=number: number) == number  # type: ignore[misc]
    assert len(answers.keys()) <= 2 * 10

    known = authorizer()
    caller = known.identify("oauth2accesstoken", world.token("alice"))
    assert "ya29" not in str(list(known._identities.keys()))
    assert "ya29" not in repr(caller)


def test_a_bad_token_is_asked_about_once_in_a_while(world: FakeIamWorld, clock: Clock) -> None:
    world.folder("", PULL, member=ALICE)
    known = authorizer()

    for _ in range(5):
        with pytest.raises(RegistryError):
            known.identify("oauth2accesstoken", "ya29.bad")
    assert len(world.requests()) == 2

    # An account that is created meanwhile waits for seconds, not a minute.
    world.token("bad")
    clock.now += 6
    assert known.identify("oauth2accesstoken", "ya29.bad").principal == "bad@example.com"


def test_a_listing_asks_the_bucket_and_then_each_folder_once(world: FakeIamWorld) -> None:
    token = world.token("alice")
    world.folder("team-a/", PULL, member=ALICE)
    world.folder("team-b/", PUSH, member=ALICE)
    world.folder("team-c/web/", PULL, member=ALICE)
    caller = authorizer("team-a", "team-b", "team-c/web", "absent").identify("oauth2accesstoken", token)

    for _ in range(3):
        assert set(caller.readable_patterns()) == {"team-a", "team-a/*", "team-c/web", "team-c/web/*"}
    asked = ["200", "absent/ 404", "team-a/ 200", "team-b/ 200", "team-c/web/ 200"]
    assert sorted(questions(world)) == asked

    world.folder("", PULL, member="user:owner@example.com")
    owner = authorizer("team-a", "team-b").identify("oauth2accesstoken", world.token("owner"))
    assert owner.readable_patterns() == ("*",)
    assert questions(world) == ["200"], "whoever may read the bucket may read all"


def test_a_project_speaks_for_all_repositories_by_artifact_registrys_rights(world: FakeIamWorld) -> None:
    google = GoogleClient()
    world.project("artifactregistry.repositories.downloadArtifacts", member=ALICE)
    known = IamAuthorizer(google, Project(google, PROJECT), PSEUDONYMS)
    caller = known.identify("oauth2accesstoken", world.token("alice"))

    assert caller.decide(Action.PULL, "any/thing").allowed
    assert not caller.decide(Action.PUSH, "any/thing").allowed
    assert caller.readable_patterns() == ("*",)
    assert known.required_permission(Action.PUSH, "a") == (
        "artifactregistry.repositories.uploadArtifacts",
        f"projects/{PROJECT}",
    )


def test_a_token_that_may_not_ask_about_the_project_gets_a_no(world: FakeIamWorld) -> None:
    google = GoogleClient()
    world.project("artifactregistry.repositories.downloadArtifacts", member=ALICE)
    caller = IamAuthorizer(google, Project(google, PROJECT), PSEUDONYMS).identify(
        "oauth2accesstoken", world.token("alice", READ_WRITE_SCOPE)
    )

    decision = caller.decide(Action.PULL, "any/thing")

    assert not decision.allowed
    assert "cloud-platform.read-only" in decision.rule
    assert not [request for request in world.requests() if "testIamPermissions" in request]


class Answering:
    """Google's connections, all of which answer the same."""

    def __init__(self, status: int, content: bytes) -> None:
        self._status = status
        self._content = content

    def request(self, *words: Any, **more: Any) -> requests.Response:
        response = requests.Response()
        response.status_code, response._content = self._status, self._content
        return response


@pytest.mark.parametrize("status", [200, 400, 403, 404])
@pytest.mark.parametrize(
    "content",
    [b"<html>", b"[" * 100_000, b'{"exp": ' + b"1" * 5_000 + b"}", b"[]", b"null", b"\xff"],
    ids=["html", "deep", "long number", "list", "null", "no text"],
)
def test_what_cannot_be_read_is_no_answer(monkeypatch: pytest.MonkeyPatch, status: int, content: bytes) -> None:
    monkeypatch.setattr(client, "_session", lambda: Answering(status, content))
    subject = IamSubject("ya29.alice")

    for ask in (
        lambda: GoogleClient().token_info(subject),
        lambda: GoogleClient().test_project_permissions(subject, PROJECT, [PULL]),
    ):
        with pytest.raises(RegistryError) as raised:
            ask()
        assert raised.value.descriptor is UNAVAILABLE


@pytest.mark.parametrize("permissions", [None, 1, PULL, {PULL: 1}, [{}], [[PULL]], [None]])
def test_permissions_of_another_type_grant_nothing(permissions: Any) -> None:
    assert PULL not in Reply(200, {"permissions": permissions}).permissions
    assert Reply(200, {"permissions": [permissions, PUSH]}).permissions >= {PUSH}
