"""What every authorizer promises: IAM on a policy bucket, IAM on a project, and the two files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lading.auth.access import ON_REPOSITORIES, Action, Authorizer, Effect
from lading.auth.access_files import hash_password
from lading.auth.google.client import GoogleClient
from lading.auth.google.iam import IamAuthorizer
from lading.auth.google.id_tokens import IdTokens
from lading.auth.google.policy_bucket import PolicyBucket
from lading.auth.google.project import Project
from lading.auth.htpasswd import HtpasswdAuthorizer
from lading.auth.patterns import matches
from lading.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError
from tests.support import fake_iam_world
from tests.support.fake_iam_world import BUCKET, PROJECT, PSEUDONYMS, URL, FakeIamWorld

Credentials = tuple[str, str]


class AuthorizerSetup:
    """Somewhere people are known: makes them, and the authorizer that knows them."""

    def user(self, name: str, *actions: Action) -> Credentials:
        """A user who may do this in team-a; answers user name and secret."""
        raise NotImplementedError

    def open(self) -> Authorizer:
        raise NotImplementedError


class BucketSetup(AuthorizerSetup):
    def __init__(self, world: FakeIamWorld, folder: Path) -> None:
        self._world = world
        world.folder("team-a/", member="user:nobody@example.com")

    def user(self, name: str, *actions: Action) -> Credentials:
        from lading.auth.google.policy_bucket import PERMISSIONS

        self._world.folder("team-a/", *(PERMISSIONS[each] for each in actions), member=f"user:{name}@example.com")
        return "oauth2accesstoken", self._world.token(name)

    def open(self) -> Authorizer:
        google = GoogleClient()
        return IamAuthorizer(google, PolicyBucket(google, BUCKET, ["team-a", "team-b"]), PSEUDONYMS)


class ProjectSetup(AuthorizerSetup):
    def __init__(self, world: FakeIamWorld, folder: Path) -> None:
        self._world = world
        world.project(member="user:nobody@example.com")

    def user(self, name: str, *actions: Action) -> Credentials:
        from lading.auth.google.project import PERMISSIONS

        self._world.project(*(PERMISSIONS[each] for each in actions), member=f"user:{name}@example.com")
        return "_dcgcloud_token", self._world.token(name)

    def open(self) -> Authorizer:
        google = GoogleClient()
        return IamAuthorizer(google, Project(google, PROJECT), PSEUDONYMS)


class FilesSetup(AuthorizerSetup):
    def __init__(self, world: FakeIamWorld, folder: Path) -> None:
        self._users, self._grants = folder / "users", folder / "grants"

    def user(self, name: str, *actions: Action) -> Credentials:
        with self._users.open("a") as users, self._grants.open("a") as grants:
            users.write(f"{name}:{hash_password(f'secret of {name}')}\n")
            if actions:
                grants.write(f"{name} team-a/* {','.join(action.value for action in actions)}\n")
        return name, f"secret of {name}"

    def open(self) -> Authorizer:
        return HtpasswdAuthorizer(self._users, self._grants, IdTokens(GoogleClient(), URL))


SETUPS: Sequence[Callable[[FakeIamWorld, Path], AuthorizerSetup]] = (BucketSetup, ProjectSetup, FilesSetup)


@pytest.fixture(params=SETUPS)
def place(request: pytest.FixtureRequest, world: FakeIamWorld, tmp_path: Path) -> AuthorizerSetup:
    made: AuthorizerSetup = request.param(world, tmp_path)
    return made


@pytest.mark.parametrize("granted", [(), *[(each,) for each in ON_REPOSITORIES], (Action.PULL, Action.PUSH)])
def test_each_action_is_a_right_of_its_own(place: AuthorizerSetup, granted: tuple[Action, ...]) -> None:
    user, secret = place.user("alice", *granted)
    caller = place.open().identify(user, secret)

    allowed = {action for action in ON_REPOSITORIES if caller.decide(action, "team-a/app").allowed}

    assert allowed == set(granted)


def test_what_is_refused_is_denied_and_says_by_which_rule(place: AuthorizerSetup) -> None:
    user, secret = place.user("alice", Action.PULL)
    decision = place.open().identify(user, secret).decide(Action.PUSH, "team-a/app")

    assert decision.effect is Effect.DENIED
    assert decision.rule


def test_an_authenticated_caller_may_ping_and_list(place: AuthorizerSetup) -> None:
    user, secret = place.user("alice")
    caller = place.open().identify(user, secret)

    assert caller.decide(Action.AUTHENTICATE, "").allowed
    assert caller.decide(Action.LIST, "").allowed
    assert not matches(caller.readable_patterns(), "team-a/app")


def test_what_can_be_pulled_can_be_listed(place: AuthorizerSetup) -> None:
    user, secret = place.user("alice", Action.PULL)
    caller = place.open().identify(user, secret)

    assert matches(caller.readable_patterns(), "team-a/app")


def test_callers_have_names(place: AuthorizerSetup) -> None:
    user, secret = place.user("alice", Action.PULL)

    assert place.open().identify(user, secret).principal.partition("@")[0] == "alice"


@pytest.mark.parametrize(
    ("user", "secret"),
    [
        ("oauth2accesstoken", "ya29.unknown"),
        ("_dcgcloud_token", "x"),
        ("gclouddockertoken", "a.b.c"),
        ("oauth2accesstoken", "with blanks"),
        ("oauth2accesstoken", "a\r\nX-Header: b"),
        ("oauth2accesstoken", "x" * 9000),
        ("alice", "wrong"),
        ("", "x"),
        ("nobody", "x" * 100),
        ("_json_key", "{}"),
        ("_json_key_base64", "{}"),
        ("é", "é"),
    ],
)
def test_bad_credentials_are_refused(place: AuthorizerSetup, user: str, secret: str) -> None:
    place.user("alice", *ON_REPOSITORIES)
    authorizer = place.open()

    for _ in range(2):
        with pytest.raises(RegistryError) as raised:
            authorizer.identify(user, secret)
        assert raised.value.descriptor is UNAUTHORIZED


def test_what_is_needed_is_said_in_words_of_its_own(place: AuthorizerSetup) -> None:
    for action in ON_REPOSITORIES:
        needed = place.open().required_permission(action, "team-a/app")
        assert needed.permission
        assert needed.resource


@pytest.mark.parametrize("make", SETUPS[:2])
@pytest.mark.parametrize("prefix", ["tokeninfo", "storage/", "v1/projects/"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_where_google_fails_the_answer_is_neither_yes_nor_no(
    make: Callable[[FakeIamWorld, Path], AuthorizerSetup], prefix: str, status: int, world: FakeIamWorld, tmp_path: Path
) -> None:
    place = make(world, tmp_path)
    user, secret = place.user("alice", *ON_REPOSITORIES)
    world.outage(prefix, status)
    authorizer = place.open()
    questions = "storage/" if make is BucketSetup else "v1/projects/"

    if prefix not in ("tokeninfo", questions):
        assert authorizer.identify(user, secret).decide(Action.PULL, "team-a/app").allowed
    else:
        for _ in range(2):
            with pytest.raises(RegistryError) as raised:
                authorizer.identify(user, secret).decide(Action.PULL, "team-a/app")
            assert raised.value.descriptor is UNAVAILABLE


@pytest.mark.parametrize("make", SETUPS[:2])
def test_where_google_cannot_be_reached_the_answer_is_neither_yes_nor_no(
    make: Callable[[FakeIamWorld, Path], AuthorizerSetup],
    world: FakeIamWorld,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = make(world, tmp_path)
    user, secret = place.user("alice", *ON_REPOSITORIES)
    monkeypatch.setenv("LADING_IAM_EMULATOR_HOST", "http://127.0.0.1:1")

    with pytest.raises(RegistryError) as raised:
        place.open().identify(user, secret)
    assert raised.value.descriptor is UNAVAILABLE


@pytest.mark.parametrize("make", SETUPS[:2])
def test_a_service_account_comes_with_its_key(
    make: Callable[[FakeIamWorld, Path], AuthorizerSetup], world: FakeIamWorld, tmp_path: Path
) -> None:
    place = make(world, tmp_path)
    fake_iam_world.register_service_account(world)
    member = f"serviceAccount:{fake_iam_world.SERVICE_ACCOUNT}"
    world.folder("team-a/", fake_iam_world.PULL, fake_iam_world.PUSH, member=member)
    world.project("artifactregistry.repositories.downloadArtifacts", member=member)

    caller = place.open().identify("_json_key", fake_iam_world.service_account_key())

    assert caller.principal == fake_iam_world.SERVICE_ACCOUNT
    assert caller.decide(Action.PULL, "team-a/app").allowed
    assert caller.decide(Action.PUSH, "team-a/app").allowed == (make is BucketSetup)
    assert not caller.decide(Action.DELETE, "team-a/app").allowed
