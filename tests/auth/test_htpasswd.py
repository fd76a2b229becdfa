"""The two files: users and grants."""

import json
from pathlib import Path

import bcrypt
import pytest

from lading import settings
from lading.auth import users_file
from lading.auth.access import Action
from lading.auth.access_files import COST, FileInvalid, hash_password, read_grants, read_users
from lading.auth.google.client import GoogleClient
from lading.auth.google.id_tokens import IdTokens
from lading.auth.htpasswd import HtpasswdAuthorizer
from lading.auth_composition import open_authorizer
from lading.logs import JsonLines
from lading.registry.errors import UNAUTHORIZED, RegistryError
from tests.auth.bcrypt_work import BcryptWork
from tests.support import fake_iam_world
from tests.support.fake_iam_world import URL, FakeIamWorld


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users").write_text(f"# people\n\nalice:{hash_password('right')}\n")
    (tmp_path / "grants").write_text("alice team-a/* pull,push\n* shared/* pull\nbob@example.com team-b delete\n")
    return tmp_path


def opened(folder: Path) -> HtpasswdAuthorizer:
    return HtpasswdAuthorizer(folder / "users", folder / "grants", IdTokens(GoogleClient(), URL))


def refused(authorizer: HtpasswdAuthorizer, user: str, secret: str) -> bool:
    try:
        authorizer.identify(user, secret)
    except RegistryError as error:
        return error.descriptor is UNAUTHORIZED
    return False


def test_grants_add_up(folder: Path) -> None:
    alice = opened(folder).identify("alice", "right")

    assert alice.principal == "alice"
    for action, name, allowed in (
        (Action.PULL, "team-a/app", True),
        (Action.PUSH, "team-a/x/y", True),
        (Action.DELETE, "team-a/app", False),
        (Action.PULL, "team-a", False),
        (Action.PULL, "shared/app", True),
        (Action.PUSH, "shared/app", False),
        (Action.DELETE, "team-b", False),
    ):
        assert alice.decide(action, name).allowed == allowed, (action, name)
    assert "line 1 of the grants: alice team-a/* pull,push" in alice.decide(Action.PUSH, "team-a/app").rule


def test_htpasswd_of_apache_is_read() -> None:
    # htpasswd -nbB alice right, whose hashes begin with 2y.
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    users = read_users(f"alice:{hashed}\n")

    assert bcrypt.checkpw(b"right", users.hashes["alice"])


SALT = "$2b$10$" + "a" * 22


@pytest.mark.parametrize(
    "line",
    [
        "alice",
        "alice:plain",
        "alice:{SHA}x",
        "alice:$apr1$x",
        f":{SALT}{'a' * 31}",
        "alice:$2b$10$cut",
        f"alice:{SALT}{'a' * 32}",
        f"alice:{SALT}{'a' * 31}:",
        f"alice:{SALT.replace('10', '99')}{'a' * 31}",
    ],
)
def test_users_without_bcrypt_are_refused(line: str) -> None:
    with pytest.raises(FileInvalid, match="line 2"):
        read_users(f"# a comment\n{line}\n")


@pytest.mark.parametrize("line", ["alice", "alice team", "alice team pull push", "a T pull", "a b fly", "a b pull,"])
def test_grants_that_make_no_sense_are_refused(line: str) -> None:
    with pytest.raises(FileInvalid, match="line 1"):
        read_grants(line)


def test_changes_count_at_once_and_mistakes_not_at_all(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    authorizer = opened(folder)
    assert authorizer.identify("alice", "right").decide(Action.PUSH, "team-a/app").allowed

    (folder / "grants").write_text("alice team-a/* pull\n")
    assert not authorizer.identify("alice", "right").decide(Action.PUSH, "team-a/app").allowed
    (folder / "grants").write_text("nonsense\n")
    assert authorizer.identify("alice", "right").decide(Action.PULL, "team-a/app").allowed
    assert "line 1 of the grants" in caplog.text
    (folder / "grants").write_bytes(b"alice team-a/* push\n\xff")
    assert not authorizer.identify("alice", "right").decide(Action.PUSH, "team-a/app").allowed
    assert "line 2 of" in caplog.text
    (folder / "grants").write_text("alice team-a/* pull\n")
    assert authorizer.identify("alice", "right").decide(Action.PULL, "team-a/app").allowed

    (folder / "users").write_text(f"alice:{hash_password('another')}\n")
    assert refused(authorizer, "alice", "right"), "what was remembered was of another password"
    assert authorizer.identify("alice", "another").principal == "alice"
    (folder / "users").unlink()
    assert refused(authorizer, "alice", "another")


def test_a_refused_file_is_one_error_from_which_a_metric_can_be_made(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authorizer = opened(folder)
    (folder / "grants").write_text("nonsense\n")
    caplog.clear()

    for _ in range(3):
        assert authorizer.identify("alice", "right").principal == "alice"

    (record,) = caplog.records
    line = json.loads(JsonLines().format(record))
    assert (line["severity"], line["refused_file"]) == ("ERROR", "grants")
    assert "line 1 of the grants" in line["message"]


def test_a_password_is_checked_slowly_once_and_then_remembered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = []
    check = bcrypt.checkpw

    def counted(password: bytes, hashed: bytes) -> bool:
        checks.append(1)
        return check(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    authorizer = opened(folder)

    for _ in range(5):
        authorizer.identify("alice", "right")
        assert refused(authorizer, "alice", "wrong")
        assert refused(authorizer, "nobody", "right")

    assert len(checks) == 3


def weak_hash(password: str, cost: int = 5) -> str:
    """Return a hash as Apache's htpasswd makes it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(cost)).decode().replace("$2b$", "$2y$")


def test_cheap_hashes_are_warned_of_and_upgraded_at_a_login_where_the_file_is_ours(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    users = folder / "users"
    text = f"# people\r\nalice:{weak_hash('right')}\n\nbob:{weak_hash('other')}  \n"
    users.write_bytes(text.encode())
    users.chmod(0o640)
    opened(folder).identify("alice", "right")
    assert users.read_bytes().decode() == text, "a file that is not ours stays as it is"
    assert "2 users have a weak password hash" in caplog.text
    authorizer = HtpasswdAuthorizer(users, folder / "grants", IdTokens(GoogleClient(), URL), rehash=True)
    work = BcryptWork(monkeypatch)

    authorizer.identify("alice", "right")

    lines = users.read_bytes().decode().split("\n")
    assert (lines[0], lines[2:]) == ("# people\r", text.split("\n")[2:])
    assert lines[1].startswith(f"alice:$2b${COST}$")
    assert users.stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in folder.iterdir()) == ["grants", "users"]
    work.spent()
    for name, password in (("alice", "wrong"), ("bob", "wrong"), ("nobody", "wrong")):
        assert refused(authorizer, name, password)
        assert work.spent() == 2**COST, "all cost as much as the new hash"
    authorizer.identify("alice", "right")
    authorizer.identify("bob", "other")
    assert not read_users(users.read_text()).weakly_hashed


@pytest.mark.parametrize(
    ("named", "standby", "ours"), [("", False, True), ("elsewhere", False, False), ("", True, False)]
)
def test_the_file_is_ours_in_the_data_folder_of_a_registry_that_writes(
    folder: Path, named: str, standby: bool, ours: bool
) -> None:
    file = folder / named if named else folder / "users.htpasswd"
    file.write_text(f"alice:{weak_hash('right')}\n")
    options = {"LADING_DATA": str(folder), "LADING_URL": URL} | ({"LADING_USERS": str(file)} if named else {})
    if named:
        options["LADING_DATA"] = str(folder / "data")
    authorizer = open_authorizer(settings.load_settings(options), lambda: b"", standby)

    authorizer.identify("alice", "right")

    assert read_users(file.read_text()).weakly_hashed == ([] if ours else ["alice"])


def test_a_file_that_cannot_be_written_ends_no_login(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "users").write_text(f"alice:{weak_hash('right')}\n")
    authorizer = HtpasswdAuthorizer(folder / "users", folder / "grants", IdTokens(GoogleClient(), URL), rehash=True)
    tries = []

    def fail(*words: object) -> None:
        tries.append(words)
        raise PermissionError("a read-only file system")

    monkeypatch.setattr(users_file, "write_beside", fail)

    for _ in range(3):
        assert authorizer.identify("alice", "right").principal == "alice"
    assert len(tries) == 1
    assert "was not replaced" in caplog.text


def test_costs_that_keep_all_processors_busy_are_refused(folder: Path) -> None:
    expensive = SALT.replace("$10$", "$15$") + "a" * 31
    with pytest.raises(FileInvalid, match="line 2 of the users has a cost above 14"):
        read_users(f"bob:{SALT.replace('$10$', '$14$')}{'a' * 31}\nalice:{expensive}\n")


def test_more_than_bcrypt_looks_at_is_refused(folder: Path) -> None:
    with pytest.raises(FileInvalid):
        hash_password("x" * 73)
    with pytest.raises(FileInvalid):
        hash_password("")
    (folder / "users").write_text(f"alice:{hash_password('x' * 72)}\n")
    authorizer = opened(folder)

    assert authorizer.identify("alice", "x" * 72).principal == "alice"
    assert refused(authorizer, "alice", "x" * 73)
    assert refused(authorizer, "alice", "é" * 40)


def test_an_id_token_names_who_comes(folder: Path, world: FakeIamWorld) -> None:
    fake_iam_world.publish_certificates(world)
    authorizer = opened(folder)

    bob = authorizer.identify("oauth2accesstoken", fake_iam_world.id_token("bob@example.com"))

    assert bob.principal == "bob@example.com"
    assert bob.decide(Action.DELETE, "team-b").allowed
    assert not bob.decide(Action.PULL, "team-a/app").allowed


def test_access_for_everybody_needs_no_google_identity(folder: Path, world: FakeIamWorld) -> None:
    """Anybody with a project at Google can have an ID token made for this registry."""
    fake_iam_world.publish_certificates(world)
    authorizer = opened(folder)

    alice = authorizer.identify("alice", "right")
    for name in ("bob@example.com", "stranger@elsewhere.iam.gserviceaccount.com"):
        caller = authorizer.identify("oauth2accesstoken", fake_iam_world.id_token(name))
        assert caller.principal == name
        assert not caller.decide(Action.PULL, "shared/app").allowed
        assert not caller.readable_patterns()
    assert alice.decide(Action.PULL, "shared/app").allowed
    assert not authorizer.caller_named("nobody").decide(Action.PULL, "shared/app").allowed


def test_google_is_not_called_without_a_token(folder: Path, world: FakeIamWorld) -> None:
    opened(folder).identify("alice", "right")

    assert world.requests() == []
