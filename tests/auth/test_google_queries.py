"""How often Google is asked, and in whose share: no account without rights, and no invented token, stops the others."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from lading.auth import cache
from lading.auth.access import Action, Effect
from lading.auth.google import managed_folders
from lading.auth.google.client import GoogleClient
from lading.auth.google.iam import IamAuthorizer
from lading.auth.google.managed_folders import MAX_CACHED, MISSING_TTL, ManagedFolders
from lading.auth.google.policy_bucket import PolicyBucket
from lading.auth.google.subject import MAX_QUERIES, IamSubject
from lading.http.client_address import ClientAddress
from tests.support.auth_fixtures import AppFactory, Clock
from tests.support.fake_iam_world import BUCKET, PSEUDONYMS, PULL, FakeIamWorld, token_as_basic

ALICE = "user:alice@example.com"
BAD_NETWORK = ClientAddress("192.0.2.1", "192.0.2.1")
OTHER_NETWORK = ClientAddress("192.0.2.2", "192.0.2.2")
DEEP = [f"x{number}/" + "/".join("abcdefghijklmn") for number in range(20)]
"""Names of 15 segments, as many as one token may be asked for."""


@pytest.fixture(params=[404, 403])
def missing(request: pytest.FixtureRequest, world: FakeIamWorld) -> int:
    """The status of folders that do not exist, in both of Google's dialects."""
    world.missing_folders(request.param)
    world.folder("", member="user:nobody@example.com")
    return int(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for kind in (cache.ResultCache, managed_folders.ManagedFolders):
        monkeypatch.setattr(kind.__init__, "__defaults__", (clock,))
    return clock


def authorizer(*folders: str) -> IamAuthorizer:
    google = GoogleClient()
    return IamAuthorizer(google, PolicyBucket(google, BUCKET, folders), PSEUDONYMS)


def request_of_all(make_app: AppFactory, world: FakeIamWorld, folders: str) -> int:
    """Ask for one token for all of DEEP with an account without rights; return how many calls to Google that made."""
    app = make_app(access=f"gs://{BUCKET}", folders=folders)
    scopes = [f"repository:{name}:pull,push" for name in DEEP]
    world.requests()
    app.token(*scopes, authorization=token_as_basic(world.token("mallory")))
    return len(world.requests())


def test_one_token_request_asks_two_questions_where_folders_are_named(
    make_app: AppFactory, world: FakeIamWorld, missing: int
) -> None:
    assert request_of_all(make_app, world, "team-a,team-b") == 2


def test_one_token_request_is_bounded_where_no_folders_are_named(
    make_app: AppFactory, world: FakeIamWorld, missing: int
) -> None:
    assert request_of_all(make_app, world, "") == 1 + MAX_QUERIES


def test_who_has_asked_too_much_is_told_why(world: FakeIamWorld, missing: int) -> None:
    world.folder("", PULL, member=ALICE)
    known = authorizer()
    caller = known.identify("oauth2accesstoken", world.token("alice"))

    decisions = [caller.decide(Action.PULL, name) for name in DEEP]

    assert decisions[0].allowed
    # Google did not refuse: the client does not get 403, but may ask again (401).
    assert decisions[-1].effect is Effect.UNDETERMINED
    assert "64 queries" in decisions[-1].rule
    # The next request asks for itself.
    again = known.identify("oauth2accesstoken", world.token("alice"))
    assert again.decide(Action.PULL, DEEP[-1]).allowed


def test_an_honest_request_for_twenty_repositories_is_within_the_bound(world: FakeIamWorld, missing: int) -> None:
    world.folder("", PULL, member=ALICE)
    caller = authorizer().identify("oauth2accesstoken", world.token("alice"))

    assert all(caller.decide(Action.PULL, f"team-{number}/web/app").allowed for number in range(20))


def test_what_was_denied_counts_for_all_tokens_of_an_account(world: FakeIamWorld, missing: int) -> None:
    known = authorizer("team-a", "team-a/web")
    world.folder("team-a/", member="user:nobody@example.com")

    for number in range(5):
        token = world.token(f"mallory{number}", email="mallory@example.com")
        world.requests()
        caller = known.identify("oauth2accesstoken", token)
        for name in ("team-a/web/app", "team-a/web", "team-a/x", "other"):
            assert not caller.decide(Action.PULL, name).allowed
        # The first asks about two folders and the bucket, the others whose their tokens are.
        assert len(world.requests()) == (4 if number == 0 else 1)


def test_what_was_granted_counts_for_its_token_alone(world: FakeIamWorld, missing: int) -> None:
    """Two tokens of one account need not be good for the same."""
    world.folder("team-a/", PULL, member=ALICE)
    known = authorizer("team-a")
    for name in ("one", "two"):
        caller = known.identify("oauth2accesstoken", world.token(name, email="alice@example.com"))
        world.requests()
        assert caller.decide(Action.PULL, "team-a/app").allowed
        assert len(world.requests()) == 1


def test_a_folder_that_is_missing_is_not_asked_about_for_each_caller(world: FakeIamWorld) -> None:
    world.folder("", PULL, member=ALICE)
    known = authorizer()
    known.identify("oauth2accesstoken", world.token("mallory")).decide(Action.PULL, DEEP[0])
    caller = known.identify("oauth2accesstoken", world.token("alice"))
    world.requests()

    assert caller.decide(Action.PULL, DEEP[0]).allowed
    assert len(world.requests()) == 1


def test_a_new_folder_counts_after_a_minute(world: FakeIamWorld, clock: Clock) -> None:
    world.folder("", member="user:nobody@example.com")
    known = authorizer()

    def allowed() -> bool:
        return known.identify("oauth2accesstoken", world.token("alice")).decide(Action.PULL, "team-a/app").allowed

    assert not allowed()
    world.folder("team-a/", PULL, member=ALICE)
    clock.now += MISSING_TTL + 1
    assert allowed()


@pytest.mark.parametrize("status", [404, 403])
def test_no_caller_hides_a_folder_from_the_others(world: FakeIamWorld, status: int) -> None:
    """Where Google answered one caller that a folder is not there, though it is."""
    world.folder("team-a/", PULL, member=ALICE)
    known = authorizer()

    def allowed(name: str, repository: str) -> bool:
        return known.identify("oauth2accesstoken", world.token(name)).decide(Action.PULL, repository).allowed

    assert allowed("alice", "team-a/one")
    world.outage("storage/v1/b/policy/managedFolders/", status)
    assert not allowed("mallory", "team-a/two")
    world.outage("nothing", 0)
    assert allowed("alice", "team-a/three")


@pytest.mark.parametrize("status", [404, 403])
def test_no_caller_hides_a_folder_that_is_named_however_early_it_asks(
    world: FakeIamWorld, status: int, clock: Clock
) -> None:
    """Where Google answers callers without rights that a folder is not there, though it is."""
    world.folder("team-a/", PULL, member=ALICE)
    known = authorizer("team-a")
    for number in range(3):
        world.outage("storage/v1/b/policy/managedFolders/", status)
        bad = known.identify("oauth2accesstoken", world.token("mallory"))
        assert not bad.decide(Action.PULL, f"team-a/{number}").allowed
        world.outage("nothing", 0)

        alice = known.identify("oauth2accesstoken", world.token("alice"))
        assert alice.decide(Action.PULL, f"team-a/{number}").allowed
        clock.now += MISSING_TTL + 1


def test_a_403_is_no_word_about_a_folder(world: FakeIamWorld, clock: Clock) -> None:
    world.folder("team-a/", PULL, member=ALICE)
    known = authorizer()
    world.outage("storage/v1/b/policy/managedFolders/", 403)
    assert not known.identify("oauth2accesstoken", world.token("mallory")).decide(Action.PULL, "team-a/app").allowed
    world.outage("nothing", 0)

    assert known.identify("oauth2accesstoken", world.token("alice")).decide(Action.PULL, "team-a/app").allowed


def test_what_is_known_of_folders_is_bounded() -> None:
    folders = ManagedFolders([])
    for number in range(MAX_CACHED + 1):
        folders.mark_missing(f"{number}/")
        folders.mark_existing(f"there/{number}/")

    assert not folders.is_missing("0/")
    assert folders.is_missing(f"{MAX_CACHED}/")


def test_an_account_without_rights_lists_once_a_minute(world: FakeIamWorld, clock: Clock, missing: int) -> None:
    known = authorizer(*(f"team-{number}" for number in range(20)))

    for number in range(5):
        caller = known.identify("oauth2accesstoken", world.token(f"mallory{number}", email="mallory@example.com"))
        world.requests()
        assert caller.readable_patterns() == ()
        assert len(world.requests()) == (21 if number == 0 else 0)
        clock.now += 10


def test_an_account_lists_once_at_a_time(world: FakeIamWorld, missing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world.folder("team-1/", PULL, member=ALICE)
    known = authorizer("team-1", "team-2")
    token = world.token("alice")
    caller = known.identify("oauth2accesstoken", token)
    world.requests()
    going, peak, lock, list_of = 0, 0, threading.Lock(), PolicyBucket.readable_patterns

    def counted(bucket: PolicyBucket, subject: IamSubject) -> Any:
        nonlocal going, peak
        with lock:
            going += 1
            peak = max(peak, going)
        try:
            return list_of(bucket, subject)
        finally:
            with lock:
                going -= 1

    monkeypatch.setattr(PolicyBucket, "readable_patterns", counted)
    with ThreadPoolExecutor(6) as pool:
        assert {tuple(found) for found in pool.map(lambda _: caller.readable_patterns(), range(6))} == {
            ("team-1", "team-1/*")
        }
    assert peak == 1
    assert len(world.requests()) == 3


def test_a_token_without_a_storage_scope_lists_nothing_and_asks_nothing(world: FakeIamWorld, missing: int) -> None:
    caller = authorizer("team-1").identify("oauth2accesstoken", world.token("alice", "openid"))
    world.requests()

    assert caller.readable_patterns() == ()
    assert world.requests() == []


def test_a_caller_is_known_once_something_was_granted(world: FakeIamWorld, missing: int) -> None:
    world.folder("team-1/", PULL, member=ALICE)
    known = authorizer("team-1")

    def known_after(name: str) -> bool:
        for _ in range(2):
            caller = known.identify("oauth2accesstoken", world.token(name), OTHER_NETWORK)
            caller.decide(Action.PULL, "team-1/app")
            caller.readable_patterns()
        return caller.subject.known

    assert not known_after("mallory")
    assert known_after("alice")
    elsewhere = known.identify("oauth2accesstoken", world.token("alice"), BAD_NETWORK)
    assert not elsewhere.subject.known
