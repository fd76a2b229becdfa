"""The two files: users and grants."""

import threading
import time
from pathlib import Path

import bcrypt
import pytest

from functions.auth.access import Action
from functions.auth.google import Google
from functions.auth.id_tokens import IdTokens
from functions.auth.local import FileInvalid, LocalAuthorizer, hash_password, read_grants, read_users
from functions.registry.errors import UNAUTHORIZED, UNAVAILABLE, RegistryError
from tests.auth import worlds
from tests.auth.worlds import URL, World


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "users").write_text(f"# people\n\nalice:{hash_password('right')}\n")
    (tmp_path / "grants").write_text("alice team-a/* pull,push\n* shared/* pull\nbob@example.com team-b delete\n")
    return tmp_path


def opened(folder: Path) -> LocalAuthorizer:
    return LocalAuthorizer(folder / "users", folder / "grants", IdTokens(Google(), URL))


def refused(authorizer: LocalAuthorizer, user: str, secret: str) -> bool:
    try:
        authorizer.identify(user, secret)
    except RegistryError as error:
        return error.row is UNAUTHORIZED
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

    assert bcrypt.checkpw(b"right", users["alice"])


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

    (folder / "users").write_text(f"alice:{hash_password('another')}\n")
    assert refused(authorizer, "alice", "right"), "what was remembered was of another password"
    assert authorizer.identify("alice", "another").principal == "alice"
    (folder / "users").unlink()
    assert refused(authorizer, "alice", "another")


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


def test_a_user_who_is_not_there_costs_as_much_as_one_who_is(folder: Path) -> None:
    authorizer = opened(folder)
    assert refused(authorizer, "nobody", "warm up")

    def cost(user: str) -> float:
        began = time.process_time()
        for number in range(5):
            assert refused(authorizer, user, f"wrong {number}")
        return time.process_time() - began

    assert 0.3 < cost("alice") / cost("nobody") < 3


def test_a_flood_of_passwords_is_turned_away(folder: Path) -> None:
    authorizer = opened(folder)
    rows = []

    def guess(number: int) -> None:
        try:
            authorizer.identify("alice", f"guess {number}")
        except RegistryError as error:
            rows.append(error.row)

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(rows) == {UNAUTHORIZED, UNAVAILABLE}
    assert authorizer.identify("alice", "right").principal == "alice"


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


def test_an_id_token_names_who_comes(folder: Path, world: World) -> None:
    worlds.know_certificates(world)
    authorizer = opened(folder)

    bob = authorizer.identify("oauth2accesstoken", worlds.id_token("bob@example.com"))

    assert bob.principal == "bob@example.com"
    assert bob.decide(Action.DELETE, "team-b").allowed
    assert not bob.decide(Action.PULL, "team-a/app").allowed


def test_everybody_is_nobody_whom_only_google_knows(folder: Path, world: World) -> None:
    """Anybody with a project at Google can have an ID token made for this registry."""
    worlds.know_certificates(world)
    authorizer = opened(folder)

    alice = authorizer.identify("alice", "right")
    for name in ("bob@example.com", "stranger@elsewhere.iam.gserviceaccount.com"):
        caller = authorizer.identify("oauth2accesstoken", worlds.id_token(name))
        assert caller.principal == name
        assert not caller.decide(Action.PULL, "shared/app").allowed
        assert caller.readable() == []
    assert alice.decide(Action.PULL, "shared/app").allowed
    assert not authorizer.named("nobody").decide(Action.PULL, "shared/app").allowed


def test_nobody_is_asked_where_nobody_comes_with_a_token(folder: Path, world: World) -> None:
    opened(folder).identify("alice", "right")

    assert world.requests() == []
