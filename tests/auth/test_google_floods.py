"""Floods of invented tokens: how many wait for Google, and who is served meanwhile."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lading.auth.access import Action
from lading.auth.google import client
from lading.auth.google.client import MAX_CONCURRENT_QUERIES, RESERVED_QUERIES, GoogleClient
from lading.auth.google.iam import MAX_LISTINGS, MAX_WAITING_LISTINGS, IamAuthorizer, IamCaller
from lading.auth.google.policy_bucket import PolicyBucket
from lading.http.client_address import ClientAddress
from lading.registry.errors import UNAVAILABLE, RegistryError
from tests.support.fake_iam_world import BUCKET, POOL, PSEUDONYMS, PULL, FakeIamWorld

ALICE = "user:alice@example.com"

BAD_NETWORK = ClientAddress("192.0.2.1", "192.0.2.1")

OTHER_NETWORK = ClientAddress("192.0.2.2", "192.0.2.2")


def authorizer(*folders: str) -> IamAuthorizer:
    google = GoogleClient()
    return IamAuthorizer(google, PolicyBucket(google, BUCKET, folders), PSEUDONYMS)


def test_listings_of_one_network_leave_room_for_others_whatever_their_principals(
    world: FakeIamWorld, slow: "SlowGoogle"
) -> None:
    """Anyone may have any number of federated tokens, and each is a principal of its own."""
    world.folder("team-1/", PULL, member=ALICE)
    known = authorizer("team-1")
    tokens = [world.token(f"invented-{number}", None, principal=POOL) for number in range(40)]
    alice = known.identify("oauth2accesstoken", world.token("alice"), OTHER_NETWORK)
    slow.go_on.set()
    callers = [known.identify("oauth2accesstoken", token, BAD_NETWORK) for token in tokens]
    while slow.standing.acquire(blocking=False):
        pass
    slow.go_on.clear()
    turned_away = threading.Semaphore(0)

    def come(caller: IamCaller) -> None:
        try:
            caller.readable_patterns()
        except RegistryError:
            turned_away.release()

    threads = [threading.Thread(target=come, args=[caller]) for caller in callers]
    for thread in threads:
        thread.start()
    places, waiting = (MAX_LISTINGS - MAX_LISTINGS // 4) // 2, MAX_WAITING_LISTINGS // 2
    for _ in range(len(threads) - places - waiting):
        assert turned_away.acquire(timeout=30)

    assert alice.readable_patterns() == ("team-1", "team-1/*")
    slow.go_on.set()
    for thread in threads:
        thread.join(30)


class SlowGoogle:
    """Google's connections, of which those of invented tokens stand still until they are let go."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self.go_on = threading.Event()
        self.standing = threading.Semaphore(0)

    def request(self, method: str, url: str, **more: Any) -> Any:
        if "invented" in str(more):
            self.standing.release()
            self.go_on.wait(30)
        return self._session.request(method, url, **more)


@pytest.fixture
def slow(world: FakeIamWorld, monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowGoogle]:
    slow = SlowGoogle(client._session())
    monkeypatch.setattr(client, "_session", lambda: slow)
    yield slow
    slow.go_on.set()


def flooded(known: IamAuthorizer, slow: SlowGoogle, client: Callable[[int], ClientAddress], standing: int) -> list[Any]:
    """Let 200 threads come with invented tokens, until so many stand still at Google; returns the threads."""

    def come(number: int) -> None:
        try:
            known.identify("oauth2accesstoken", f"ya29.invented-{number}", client(number))
        except RegistryError:
            return

    threads = [threading.Thread(target=come, args=[number], daemon=True) for number in range(200)]
    for thread in threads:
        thread.start()
    for _ in range(standing):
        assert slow.standing.acquire(timeout=30)
    return threads


def test_invented_tokens_of_one_network_leave_room_for_others(world: FakeIamWorld, slow: SlowGoogle) -> None:
    world.folder("team-1/", PULL, member=ALICE)
    known = authorizer("team-1")
    token = world.token("alice")
    threads = flooded(known, slow, lambda _: BAD_NETWORK, (MAX_CONCURRENT_QUERIES - RESERVED_QUERIES) // 2)

    caller = known.identify("oauth2accesstoken", token, OTHER_NETWORK)

    assert caller.decide(Action.PULL, "team-1/app").allowed
    assert not slow.standing.acquire(blocking=False), "one network has half of the places at most"
    slow.go_on.set()
    for thread in threads:
        thread.join(30)


def test_invented_tokens_of_many_networks_leave_room_for_those_who_were_granted_something(
    world: FakeIamWorld, slow: SlowGoogle
) -> None:
    world.folder("team-1/", PULL, member=ALICE)
    known = authorizer("team-1")
    first = known.identify("oauth2accesstoken", world.token("alice"), OTHER_NETWORK)
    assert first.decide(Action.PULL, "team-1/app").allowed
    again = world.token("again", email="alice@example.com")
    threads = flooded(
        known, slow, lambda number: ClientAddress("", f"198.51.100.{number}"), MAX_CONCURRENT_QUERIES - RESERVED_QUERIES
    )

    caller = known.identify("oauth2accesstoken", again, OTHER_NETWORK)

    assert caller.decide(Action.PULL, "team-1/app").allowed
    slow.go_on.set()
    for thread in threads:
        thread.join(30)


def test_what_waits_for_google_in_vain_is_told_to_come_again(
    world: FakeIamWorld, slow: SlowGoogle, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = authorizer("team-1")
    monkeypatch.setattr(known._google._bulkhead, "_wait_timeout", 0.05)
    threads = flooded(known, slow, lambda _: BAD_NETWORK, (MAX_CONCURRENT_QUERIES - RESERVED_QUERIES) // 2)

    with pytest.raises(RegistryError) as raised:
        known.identify("oauth2accesstoken", world.token("alice"), BAD_NETWORK)

    assert raised.value.descriptor is UNAVAILABLE
    slow.go_on.set()
    for thread in threads:
        thread.join(30)
