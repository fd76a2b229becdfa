"""Requests that wait for events: how many threads they hold, and what happens to those without a client."""

from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from lading.http.poll_slots import CHECK_INTERVAL, MAX_PER_CLIENT, Poll, PollSlots
from lading.http.thread_budget import ThreadBudget


def poll(client: str, anonymous: bool = False, peer: str = "192.0.2.1") -> Poll:
    return Poll(client, anonymous, {"REMOTE_ADDR": peer, "SERVER_PORT": "80"})


class Seconds:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def slots_of(threads: int, connections: Counter[str] | None = None, clock: Any = None) -> PollSlots:
    return PollSlots(ThreadBudget(threads), 1.0, lambda port: connections, clock or Seconds())


def held(slots: PollSlots, stack: ExitStack, *polls: Poll) -> list[bool]:
    return [stack.enter_context(slots.hold(each)) for each in polls]


@pytest.mark.parametrize(("threads", "total", "anonymous"), [(1, 1, 1), (8, 1, 1), (32, 8, 4), (128, 32, 16)])
def test_waiting_requests_have_a_share_of_the_threads(threads: int, total: int, anonymous: int) -> None:
    slots = slots_of(threads)
    with ExitStack() as stack:
        assert sum(held(slots, stack, *(poll(f"n{each}", anonymous=True) for each in range(200)))) == anonymous
        assert sum(held(slots, stack, *(poll(f"u{each}") for each in range(200)))) == total - anonymous
    with slots.hold(poll("another")) as acquired:
        assert acquired


def test_a_client_has_two_slots_and_its_name_is_no_network() -> None:
    slots = slots_of(128)
    with ExitStack() as stack:
        assert held(slots, stack, *(poll("10.0.0.1") for _ in range(4))) == [True] * MAX_PER_CLIENT + [False] * 2
        assert held(slots, stack, *(poll("10.0.0.1", anonymous=True) for _ in range(3))) == [True, True, False]


def test_uploads_and_waiting_requests_share_one_budget() -> None:
    budget = ThreadBudget(8)
    slots = PollSlots(budget, 1.0, lambda port: None)
    with slots.hold(poll("a")) as acquired:
        assert (acquired, budget.held) == (True, 1)
    assert budget.held == 0
    while budget.acquire():
        pass
    with slots.hold(poll("a")) as acquired:
        assert not acquired
    assert budget.held == budget.total


def test_the_oldest_request_without_a_connection_is_ended() -> None:
    clock, connections = Seconds(), Counter({"192.0.2.1": 2, "192.0.2.2": 1})
    slots = slots_of(128, connections, clock)
    polls = [poll("a"), poll("b"), poll("c", peer="192.0.2.2"), poll("d", peer="")]
    with ExitStack() as stack:
        held(slots, stack, *polls)
        assert all(map(slots.goes_on, polls))
        connections["192.0.2.1"] = 1
        assert all(map(slots.goes_on, polls)), "the connections are counted at intervals"
        clock.now += CHECK_INTERVAL
        assert list(map(slots.goes_on, polls)) == [False, True, True, True]


def test_a_server_that_does_not_know_its_connections_ends_none() -> None:
    slots = slots_of(128, None)
    with slots.hold(waiting := poll("a")):
        assert slots.goes_on(waiting)


def test_a_server_that_shuts_down_ends_all_and_takes_no_more() -> None:
    slots = slots_of(128, Counter({"192.0.2.1": 1}))
    with slots.hold(waiting := poll("a")):
        slots.close()
        assert not slots.goes_on(waiting)
        with slots.hold(poll("b")) as acquired:
            assert not acquired
