"""Endpoints that are slow: the others wait for none of them."""

import threading

import pytest

from lading.events import attempt_pool, deliveries, endpoint_queue
from tests.events.webhooks.webhook_fixtures import Webhooks, published
from tests.support.webhook_receiver import Received, Receiver, receiver


def test_an_endpoint_that_never_responds_does_not_hold_up_another(webhooks: Webhooks, endpoint: Receiver) -> None:
    """The first one responds only once the second one has everything."""
    everything = threading.Event()
    count = 20

    def last(_: Received) -> tuple[int, dict[str, str]]:
        if len(endpoint.received) == count:
            everything.set()
        return 204, {}

    endpoint.respond = last
    with receiver() as silent:
        silent.respond = lambda _: (204 if everything.wait(30) else 500, {})
        published(webhooks, silent.url, 100, "silent", ["team/silent"])
        published(webhooks, endpoint.url, count, "good", ["team/good"])
        webhooks.clock.advance(seconds=1)
        assert webhooks.deliver() == {"delivered": 100 + count}
    assert everything.is_set()


def test_what_becomes_due_beside_slow_endpoints_waits_for_none_of_them(
    webhooks: Webhooks, endpoint: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them than attempts at a time; they respond only once the good one has an event that came later."""
    monkeypatch.setattr(attempt_pool, "SLOW", 0.05)
    monkeypatch.setattr(deliveries, "READ_INTERVAL", 0.05)
    slow_ones = attempt_pool.MAX_CONCURRENT + 1
    later, all_wait = threading.Event(), threading.Barrier(slow_ones)

    def note(_: Received) -> tuple[int, dict[str, str]]:
        later.set()
        return 204, {}

    def respond(_: Received) -> tuple[int, dict[str, str]]:
        if all_wait.wait(30) == 0:
            webhooks.publish(webhooks.event(1, repository="team/good"))
        return (204 if later.wait(30) else 500), {}

    endpoint.respond = note
    webhooks.admin.add(endpoint.url, repositories=["team/good"], id="good")
    with receiver() as slow:
        slow.respond = respond
        for number in range(slow_ones):
            published(webhooks, slow.url, 1, f"slow{number}", [f"team/slow{number}"])
        webhooks.clock.advance(seconds=1)
        assert webhooks.deliver() == {"delivered": slow_ones + 1}


def test_one_endpoint_gets_a_few_requests_at_a_time(webhooks: Webhooks, endpoint: Receiver) -> None:
    present, maximum, lock, both = 0, 0, threading.Lock(), threading.Barrier(endpoint_queue.MAX_PER_WEBHOOK)

    def respond(_: Received) -> tuple[int, dict[str, str]]:
        nonlocal present, maximum
        with lock:
            present += 1
            maximum = max(maximum, present)
        both.wait(10)
        with lock:
            present -= 1
        return 204, {}

    endpoint.respond = respond
    published(webhooks, endpoint.url, 8)
    assert webhooks.deliver() == {"delivered": 8}
    assert maximum == endpoint_queue.MAX_PER_WEBHOOK
