"""Guesses at robots: what they read, and that they keep no robot out, on both metadata stores."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from lading.auth.guess_limit import GUESSES_PER_SECOND, MAX_GUESSES, MAX_GUESSES_OF_NETWORK
from lading.auth.keys import KeyRing, generate_keys
from lading.auth.robot_cache import MIN_REREAD_INTERVAL, ROBOT_TTL
from lading.auth.robots import Robots
from lading.http.client_address import ClientAddress
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Found, MetadataStore
from lading_storage.records.core import Key
from lading_storage.records.robots import Robot
from lading_storage.stores import Stores
from tests.auth.concurrent_callers import run_concurrent_callers
from tests.support.auth_fixtures import Clock
from tests.support.store_hooks import RecordedMetadata

KEYS = generate_keys()
HOME = ClientAddress("192.0.2.1", "192.0.2.1")
ELSEWHERE = ClientAddress("192.0.2.2", "192.0.2.2")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counting(stores: Stores) -> RecordedMetadata:
    return RecordedMetadata(stores.metadata)


@pytest.fixture
def known(counting: RecordedMetadata, clock: Clock) -> Robots:
    return Robots(counting, KeyRing(lambda: KEYS), clock)


def status(known: Robots, name: str, secret: str, client: ClientAddress = HOME) -> int:
    """Return what a login is answered with."""
    try:
        known.identify(f"robot+{name}", secret, client)
    except RegistryError as error:
        return error.descriptor.status
    return 200


def create(known: Robots, name: str) -> str:
    return known.create(name, ["*"], ["pull"], "", timedelta(days=1))


def test_a_robot_is_read_once_a_minute(known: Robots, counting: RecordedMetadata, clock: Clock) -> None:
    secret = create(known, "ci")
    counting.calls.clear()

    for _ in range(100):
        assert status(known, "ci", secret) == 200
    assert counting.calls == ["read"]
    clock.now += ROBOT_TTL + 1
    assert status(known, "ci", secret) == 200
    assert counting.calls == ["read"] * 2


def test_guesses_at_one_name_read_once_in_five_seconds(known: Robots, counting: RecordedMetadata, clock: Clock) -> None:
    secret = create(known, "ci")
    counting.calls.clear()

    for name in ("ci", "invented"):
        for number in range(500):
            assert status(known, name, f"lading_{number}") == 401
    assert counting.calls == ["read"] * 2
    assert status(known, "ci", secret) == 200, "the robot is at hand"
    clock.now += MIN_REREAD_INTERVAL
    assert status(known, "ci", "lading_x") == 401
    assert counting.calls == ["read"] * 3


def test_invented_names_read_a_bounded_number_of_times(known: Robots, counting: RecordedMetadata, clock: Clock) -> None:
    secret, other = create(known, "ci"), create(known, "other")
    assert status(known, "ci", secret) == 200
    counting.calls.clear()

    statuses = [status(known, f"invented-{number}", secret) for number in range(500)]

    assert statuses == [401] * MAX_GUESSES_OF_NETWORK + [429] * (500 - MAX_GUESSES_OF_NETWORK)
    assert len(counting.calls) == MAX_GUESSES_OF_NETWORK
    assert status(known, "ci", secret) == 200, "a caller that logged in lately gets in"
    assert status(known, "other", other, ELSEWHERE) == 200, "and who comes from elsewhere"
    clock.now += ROBOT_TTL + 1
    assert status(known, "ci", secret) == 200, "a robot that has proved its secret is read again in any case"


def test_names_invented_in_many_networks_are_bounded_in_all(
    known: Robots, counting: RecordedMetadata, clock: Clock
) -> None:
    secret = create(known, "ci")
    assert status(known, "ci", secret) == 200
    counting.calls.clear()

    def attack() -> list[int]:
        clients = [ClientAddress("", f"198.51.100.{number}") for number in range(20)]
        return [status(known, f"x{number}", secret, clients[number % 20]) for number in range(MAX_GUESSES + 100)]

    assert attack() == [401] * MAX_GUESSES + [503] * 100
    assert len(counting.calls) == MAX_GUESSES
    assert status(known, "ci", secret) == 200
    counting.calls.clear()
    clock.now += 10
    attack()
    assert len(counting.calls) <= 10 * GUESSES_PER_SECOND + 1


def test_many_good_robots_of_one_network_are_no_guesses(known: Robots) -> None:
    secrets = {f"ci-{number}": create(known, f"ci-{number}") for number in range(MAX_GUESSES_OF_NETWORK + 20)}

    assert {status(known, name, secret) for name, secret in secrets.items()} == {200}


def test_a_slow_store_is_not_waited_for_by_all_threads(stores: Stores, clock: Clock) -> None:
    secret = create(Robots(stores.metadata, KeyRing(lambda: KEYS)), "ci")
    go_on = threading.Event()
    known = Robots(Slow(stores.metadata, go_on), KeyRing(lambda: KEYS), clock)
    numbers = iter(range(500))

    class ElsewhereFirst(threading.Event):
        def set(self) -> None:
            assert status(known, "ci", secret, ELSEWHERE) == 200
            go_on.set()

    turned_away, kept = run_concurrent_callers(
        lambda: known.identify(f"robot+invented-{next(numbers)}", secret, HOME), 90, 56, ElsewhereFirst()
    )

    assert turned_away == [UNAVAILABLE] * 34
    assert {row.status for row in kept} == {401}


class Slow(ForwardingMetadata):
    """A store that answers reads of most records only when it is told to."""

    def __init__(self, store: MetadataStore, go_on: threading.Event) -> None:
        super().__init__(store)
        self._go_on = go_on

    def read(self, keys: Sequence[Key[Any]], *, content: bool = True) -> Found:
        if keys != [Key(Robot, "ci")]:
            assert self._go_on.wait(10)
        return super().read(keys, content=content)
