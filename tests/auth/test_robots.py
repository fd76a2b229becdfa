"""Robots: made, used, rotated, revoked, on both metadata stores."""

import base64
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from lading.auth import robots
from lading.auth.access import Action
from lading.auth.keys import KeyRing, generate_keys
from lading.auth.robots import RobotError, Robots
from lading.registry.errors import UNAUTHORIZED, RegistryError
from lading_storage.records.core import Key
from lading_storage.records.fields import values_of
from lading_storage.records.robots import Robot
from lading_storage.stores import Stores
from tests.support.auth_fixtures import Clock

DAY = timedelta(days=1)
KEYS = generate_keys()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time for what is remembered, and for what expires."""
    clock = Clock()

    class Now(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(clock(), UTC)

    monkeypatch.setattr(robots.Robots.__init__, "__defaults__", (clock,))
    monkeypatch.setattr(robots, "datetime", Now)
    return clock


Open = Callable[[], Robots]


@pytest.fixture
def opened(stores: Stores) -> Open:
    """Opens the robots as another process would."""
    return lambda: Robots(stores.metadata, KeyRing(lambda: KEYS))


def create(known: Robots, name: str = "ci", life: timedelta | None = DAY) -> str:
    return known.create(name, ["team-a/*", "shared/app"], ["push", "pull"], "alice", life)


def refused(known: Robots, user: str, secret: str) -> bool:
    try:
        known.identify(user, secret)
    except RegistryError as error:
        return error.descriptor is UNAUTHORIZED
    return False


def test_a_robot_may_do_what_it_was_made_for(opened: Open) -> None:
    secret = create(opened())
    robot = opened().identify("robot+ci", secret)

    assert robot.principal == "robot+ci"
    for action, name, allowed in (
        (Action.AUTHENTICATE, "", True),
        (Action.PULL, "team-a/app", True),
        (Action.PUSH, "team-a/x/y", True),
        (Action.PUSH, "shared/app", True),
        (Action.PULL, "shared/other", False),
        (Action.DELETE, "team-a/app", False),
    ):
        assert robot.decide(action, name).allowed == allowed, (action, name)
    assert robot.readable_patterns() == ("team-a/*", "shared/app")


def test_a_secret_has_256_random_bits_and_is_kept_as_an_hmac(opened: Open, stores: Stores) -> None:
    secrets = [create(opened(), f"robot-{number}") for number in range(3)]

    assert len(set(secrets)) == 3
    for secret in secrets:
        assert re.fullmatch(r"lading_[A-Za-z0-9_-]{43}", secret)
        assert len(base64.urlsafe_b64decode(secret.removeprefix("lading_") + "=")) == 32
    key = Key(Robot, "robot-0")
    kept = stores.metadata.read([key])[key]
    assert kept is not None
    text = json.dumps(values_of(kept), default=str)
    assert not any(secret in text or secret.removeprefix("lading_") in text for secret in secrets)
    assert len(bytes.fromhex(kept.mac)) == 32


def test_other_secrets_and_other_names_are_refused(opened: Open) -> None:
    secret, other = create(opened()), create(opened(), "other")
    known = opened()

    for user, sent in (
        ("robot+ci", other),
        ("robot+ci", secret[:-1]),
        ("robot+ci", secret + "x"),
        ("robot+ci", ""),
        ("robot+ci", "é"),
        ("robot+other", secret),
        ("robot+absent", secret),
        ("robot+", secret),
        ("robot+../ci", secret),
        ("robot+CI", secret),
        ("robot+" + "x" * 300, secret),
    ):
        assert refused(known, user, sent), (user, sent)


def test_a_moved_record_is_worth_nothing(opened: Open, stores: Stores) -> None:
    from dataclasses import replace

    from lading_storage.protocols import Create

    secret = create(opened())
    key = Key(Robot, "ci")
    kept = stores.metadata.read([key])[key]
    assert kept is not None
    stores.metadata.commit([Create(replace(kept, id="root", repositories=("*",)))])

    assert refused(opened(), "robot+root", secret)


def test_another_key_invalidates_all_robots(opened: Open, stores: Stores) -> None:
    secret = create(opened())

    assert refused(Robots(stores.metadata, KeyRing(generate_keys)), "robot+ci", secret)


def test_robots_expire(opened: Open, clock: Clock) -> None:
    secret, ever = create(opened()), create(opened(), "ever", None)
    known = opened()
    assert known.identify("robot+ci", secret).principal == "robot+ci"

    clock.now += DAY.total_seconds() - 1
    assert not refused(known, "robot+ci", secret)
    clock.now += 2
    assert refused(known, "robot+ci", secret), "though it is remembered"
    clock.now += 1e9
    assert not refused(opened(), "robot+ever", ever)


def test_a_rotation_ends_the_old_secret_at_once_or_later(opened: Open, clock: Clock) -> None:
    first = create(opened())
    second = opened().rotate("ci", timedelta(), DAY)
    assert refused(opened(), "robot+ci", first)
    assert not refused(opened(), "robot+ci", second)

    third = opened().rotate("ci", timedelta(hours=1), DAY)
    for secret in (second, third):
        assert not refused(opened(), "robot+ci", secret)
    clock.now += 3601
    assert refused(opened(), "robot+ci", second)
    assert not refused(opened(), "robot+ci", third)


def test_a_new_secret_is_good_at_once_where_the_old_one_was_just_used(opened: Open) -> None:
    known = opened()
    first = create(known)
    known.identify("robot+ci", first)

    second = opened().rotate("ci", timedelta(), DAY)

    assert known.identify("robot+ci", second).principal == "robot+ci"


def test_a_rotation_prolongs_what_expires(opened: Open, stores: Stores, clock: Clock) -> None:
    create(opened())
    create(opened(), "ever", None)
    clock.now += 1000
    for name in ("ci", "ever"):
        opened().rotate(name, timedelta(), 10 * DAY)

    ci, ever = opened().all()
    assert ci.expires is not None
    assert ci.expires - ci.created > 9 * DAY
    assert ever.expires is None

    opened().rotate("ci", timedelta(), None)
    assert opened().all()[0].expires is None, "never is a term, too"


def test_a_revocation_counts_within_a_minute(opened: Open, clock: Clock) -> None:
    known = opened()
    secret = create(known)
    known.identify("robot+ci", secret)

    opened().revoke("ci")

    assert refused(opened(), "robot+ci", secret)
    clock.now += 61
    assert refused(known, "robot+ci", secret)
    assert opened().all() == []


@pytest.mark.parametrize(
    ("name", "repositories", "actions"),
    [
        ("CI", ["a"], ["pull"]),
        ("", ["a"], ["pull"]),
        ("a b", ["a"], ["pull"]),
        ("x" * 65, ["a"], ["pull"]),
        ("ci", [], ["pull"]),
        ("ci", ["A"], ["pull"]),
        ("ci", ["a"], []),
        ("ci", ["a"], ["delete"]),
        ("ci", ["a"], ["pull", "fly"]),
    ],
)
def test_what_a_robot_cannot_be(opened: Open, name: str, repositories: list[str], actions: list[str]) -> None:
    with pytest.raises(RobotError):
        opened().create(name, repositories, actions, "", DAY)
    assert opened().all() == []


def test_there_is_one_robot_of_a_name(opened: Open) -> None:
    create(opened())
    with pytest.raises(RobotError, match="already"):
        create(opened())
    for change in (lambda: opened().rotate("absent", DAY, DAY), lambda: opened().revoke("absent")):
        with pytest.raises(RobotError, match="no robot"):
            change()
