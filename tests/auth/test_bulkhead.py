"""Bulkhead: slow work holds few threads, and no client keeps the others from it."""

import threading
from collections.abc import Sequence
from typing import Any

import pytest
import requests

from lading.auth.bulkhead import Bulkhead, Ticket, TicketState
from lading.auth.google import client
from lading.auth.google.client import GoogleClient
from lading.auth.google.subject import IamSubject
from lading.auth.recent_logins import MAX_RECENT_LOGINS, RECENT_LOGIN_TTL, RecentLogins
from lading.registry.errors import UNAVAILABLE, RegistryError
from lading.settings import SETTINGS
from tests.auth.concurrent_callers import TIMEOUT, run_concurrent_callers


def requested(bulkhead: Bulkhead, keys: Sequence[str], known: bool = False) -> list[Ticket | None]:
    """Request a place for each key in turn; None stands for a refusal."""
    tickets: list[Ticket | None] = []
    for key in keys:
        try:
            tickets.append(bulkhead.request(key, known))
        except RegistryError:
            tickets.append(None)
    return tickets


def admitted(tickets: Sequence[Ticket | None]) -> list[str]:
    return [ticket.key for ticket in tickets if ticket and ticket.state is TicketState.ADMITTED]


def order_of(bulkhead: Bulkhead, tickets: Sequence[Ticket | None]) -> list[str]:
    """Release the admitted tickets one at a time, and return the keys in the order in which they were."""
    order, left = [], [ticket for ticket in tickets if ticket]
    while left:
        current = next(ticket for ticket in left if ticket.state is TicketState.ADMITTED)
        left.remove(current)
        order.append(current.key)
        bulkhead.release(current)
    return order


def test_few_go_on_at_once_some_wait_and_the_rest_are_refused() -> None:
    bulkhead = Bulkhead(2, 3)

    tickets = requested(bulkhead, ["a", "b", "c", "d", "e"])

    assert admitted(tickets) == ["a", "b"]
    assert None not in tickets
    with pytest.raises(RegistryError) as raised:
        bulkhead.request("f", known=False)
    assert raised.value.descriptor is UNAVAILABLE


def test_one_key_holds_half_of_the_slots_and_of_the_queue_at_the_maximum() -> None:
    bulkhead = Bulkhead(4, 8)

    flooding = requested(bulkhead, ["bad"] * 500)
    others = requested(bulkhead, ["b", "c", "d"])

    assert admitted(flooding) == ["bad"] * 2
    assert sum(ticket is not None for ticket in flooding) == 2 + 4
    assert admitted(others) == ["b", "c"]
    assert others[2] is not None


def test_keys_take_turns() -> None:
    bulkhead = Bulkhead(1, 100)

    tickets = requested(bulkhead, ["bad"] * 4 + ["b", "b", "c"])

    assert order_of(bulkhead, tickets) == ["bad", "bad", "b", "c", "bad", "b", "bad"]


def test_in_a_full_queue_the_key_with_the_largest_share_is_refused() -> None:
    bulkhead = Bulkhead(1, 4)
    flooding = requested(bulkhead, ["x", "x", "x", "y", "y"])

    (ticket,) = requested(bulkhead, ["z"])

    assert ticket is not None
    # The first of x runs. Of x and y each, two wait; the newest of one of them had to go.
    assert [each and each.state.value for each in flooding] == ["admitted", "waiting", "refused", "waiting", "waiting"]
    assert requested(bulkhead, ["y", "z"]) == [None, None], "no key makes room for one that has as many"


def test_known_callers_come_first_and_are_not_refused_because_of_others() -> None:
    bulkhead = Bulkhead(2, 4, reserved=1)

    flooding = requested(bulkhead, [f"bad{number}" for number in range(500)])
    known = requested(bulkhead, ["bad0"] * 2 + ["c", "d"], known=True)

    assert admitted(flooding) == ["bad0"], "one of two places is reserved"
    assert admitted(known) == ["bad0"]
    assert None not in known
    assert order_of(bulkhead, [*known, *flooding])[:5] == ["bad0", "bad0", "c", "d", "bad0"]


def test_a_known_caller_cannot_hold_all_places_either() -> None:
    bulkhead = Bulkhead(4, 4, reserved=1)

    assert admitted(requested(bulkhead, ["a"] * 4, known=True)) == ["a"] * 2
    assert admitted(requested(bulkhead, ["b"], known=True)) == ["b"]


def test_a_principal_has_a_share_however_many_addresses_it_comes_from() -> None:
    bulkhead = Bulkhead(4, 8)

    flooding = [bulkhead.request(f"network {number}", known=False, principal="bad") for number in range(4)]
    others = [bulkhead.request(f"network {number}", known=False, principal=f"user {number}") for number in range(2)]

    assert admitted(flooding) == ["network 0", "network 1"]
    assert admitted(others) == ["network 0", "network 1"]
    bulkhead.release(flooding[0])
    assert admitted(flooding[1:]) == ["network 1", "network 2"]


def test_in_the_queue_of_a_network_no_principal_waits_for_anothers_share() -> None:
    bulkhead = Bulkhead(4, 8, principal_share=1)
    first = bulkhead.request("a", known=False, principal="bad")
    second = bulkhead.request("b", known=False, principal="bad")
    third = bulkhead.request("b", known=False, principal="good")

    assert [each.state for each in (first, second, third)] == [
        TicketState.ADMITTED,
        TicketState.WAITING,
        TicketState.ADMITTED,
    ]


def test_the_share_of_a_principal_can_be_one() -> None:
    bulkhead = Bulkhead(4, 8, principal_share=1)

    tickets = [bulkhead.request("a", known=False, principal=name) for name in ("one", "one", "two", "three")]

    assert [each.state is TicketState.ADMITTED for each in tickets] == [True, False, True, False]


def test_callers_without_a_key_have_no_share() -> None:
    assert admitted(requested(Bulkhead(4, 4), [""] * 8)) == [""] * 4


def test_who_stops_waiting_leaves_room() -> None:
    bulkhead = Bulkhead(1, 1)
    running, waiting = requested(bulkhead, ["a", "b"])
    assert running
    assert waiting

    assert requested(bulkhead, ["c"]) == [None]
    bulkhead.release(waiting)
    (third,) = requested(bulkhead, ["c"])
    bulkhead.release(running)

    assert admitted([third]) == ["c"]
    assert waiting.state is TicketState.WAITING, "it was not admitted after it had gone"


def test_no_wait_is_longer_than_the_timeout() -> None:
    bulkhead = Bulkhead(1, 1, wait_timeout=0)
    with bulkhead.slot("a"):
        for _ in range(3):
            with pytest.raises(RegistryError) as raised, bulkhead.slot("b"):
                pass
            assert raised.value.descriptor is UNAVAILABLE
    with bulkhead.slot("b"):
        pass


def test_threads_wait_for_their_places() -> None:
    bulkhead, go_on, lock = Bulkhead(2, 3), threading.Event(), threading.Lock()
    going, peak = 0, 0

    def work() -> None:
        nonlocal going, peak
        with bulkhead.slot():
            with lock:
                going += 1
                peak = max(peak, going)
            assert go_on.wait(TIMEOUT)
            with lock:
                going -= 1

    for _ in range(2):
        # The second time shows that all have given their place back.
        go_on.clear()
        assert run_concurrent_callers(work, 20, 5, go_on) == ([UNAVAILABLE] * 15, [])
    assert peak == 2


def test_a_fault_gives_the_place_back() -> None:
    bulkhead = Bulkhead(1, 0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), bulkhead.slot():
            raise ZeroDivisionError


def test_a_google_that_is_slow_does_not_hold_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    class Slow:
        def request(self, *words: Any, **more: Any) -> Any:
            assert go_on.wait(TIMEOUT)
            raise requests.ConnectionError

    monkeypatch.setattr(client, "_session", Slow)
    asked = GoogleClient()
    threads = next(setting for setting in SETTINGS if setting.option == "threads")

    turned_away, kept = run_concurrent_callers(
        lambda: asked.token_info(IamSubject("ya29.made-up")), int(threads.default), 80, go_on
    )

    assert turned_away == [UNAVAILABLE] * 48
    assert kept == [UNAVAILABLE] * 80


def test_logins_are_remembered_by_name_and_network_for_a_while() -> None:
    now = [0.0]
    logins = RecentLogins(lambda: now[0])

    logins.add("alice", "192.0.2.1")

    assert logins.contains("alice", "192.0.2.1")
    assert not logins.contains("alice", "192.0.2.2")
    assert not logins.contains("bob", "192.0.2.1")
    now[0] = RECENT_LOGIN_TTL + 1
    assert not logins.contains("alice", "192.0.2.1")


def test_the_memory_of_logins_is_bounded() -> None:
    logins = RecentLogins()
    for number in range(MAX_RECENT_LOGINS + 1):
        logins.add(f"user{number}", "")

    assert not logins.contains("user0", "")
    assert logins.contains("user1", "")
