"""Delivery runs: attempts over a day, dead letters, endpoints that are gone, busy or down."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from lading.events import deliveries, endpoint_queue
from lading.events.retry_schedule import ATTEMPTS_AT
from lading.events.webhook_admin import WebhookError
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.records.core import Key
from lading_storage.records.events import DEAD, WAITING, Delivery, Webhook
from tests.events.webhooks.webhook_fixtures import Webhooks, published
from tests.support.webhook_receiver import Received, Receiver, receiver


def test_attempts_are_made_over_a_day_and_then_the_delivery_is_dead(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(500)
    published(webhooks, endpoint.url)
    start, times = webhooks.clock.time, list[timedelta]()
    while webhooks.delivery.state == WAITING:
        due = max(webhooks.delivery.next, webhooks.clock.time)
        webhooks.clock.time = due - timedelta(microseconds=1)
        assert not times or webhooks.deliver() == {}
        webhooks.clock.time = due
        times.append(due - start)
        webhooks.deliver()
        assert len(endpoint.received) == len(times)
    assert tuple(times) == ATTEMPTS_AT
    assert times[-1] == timedelta(hours=24)
    dead = webhooks.delivery
    assert (dead.attempts, dead.error) == (10, "the endpoint responded with status 500")
    assert webhooks.clock.advance(days=20) > dead.next
    assert webhooks.deliver() == {}
    assert {each.headers["webhook-id"] for each in endpoint.received} == {dead.event}


def test_waits_have_jitter(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(500)
    published(webhooks, endpoint.url, 20)
    deliveries.DeliveryRun(webhooks.metadata, webhooks.client, webhooks.clock).run(lambda: False)
    waits = {each.next - webhooks.clock.time for each in webhooks.deliveries}
    assert len(waits) > 10
    assert timedelta(seconds=5) <= min(waits) <= max(waits) <= timedelta(seconds=5.5)


def test_dead_letters_are_listed_retried_and_deleted_after_a_month(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(410)
    published(webhooks, endpoint.url, 3)
    webhooks.deliver()
    admin = webhooks.admin
    assert [each.state for each in admin.dead_letters("one", 10)] == [DEAD] * 3
    assert len(admin.dead_letters("", 2)) == 2
    with pytest.raises(WebhookError, match="`lading webhooks enable one`"):
        admin.retry("one")
    admin.enable("one")
    with pytest.raises(WebhookError, match="no dead letter of event 0000"):
        admin.retry("one", "0000")

    endpoint.always(204)
    first = admin.dead_letters("one", 1)[0].event
    assert admin.retry("one", first) == 1
    assert webhooks.deliver() == {"delivered": 1}
    assert endpoint.received[-1].headers["webhook-id"] == first
    assert admin.retry("one") == 2
    assert webhooks.deliver() == {"delivered": 2}
    assert admin.retry("one") == 0

    endpoint.always(410)
    webhooks.publish(webhooks.event(9))
    webhooks.deliver()
    webhooks.clock.advance(days=30, seconds=-1)
    webhooks.deliver()
    assert webhooks.delivery.state == DEAD
    webhooks.clock.advance(seconds=1)
    assert webhooks.deliver() == {"dropped": 1}
    assert webhooks.deliveries == []


def test_a_retried_dead_letter_has_all_attempts_again(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(500)
    published(webhooks, endpoint.url)
    for _ in ATTEMPTS_AT:
        webhooks.deliver()
        webhooks.clock.advance(hours=10)
    assert webhooks.delivery.state == DEAD
    webhooks.admin.retry("one")
    assert webhooks.deliver() == {"failed": 1}
    assert (webhooks.delivery.attempts, webhooks.delivery.state) == (1, WAITING)


def test_an_endpoint_that_is_gone_disables_its_webhook(
    webhooks: Webhooks, endpoint: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint.always(410)
    published(webhooks, endpoint.url, 10)
    with caplog.at_level(logging.WARNING):
        assert webhooks.deliver() == {"dead": 10}
    assert len(endpoint.received) <= endpoint_queue.MAX_PER_WEBHOOK
    assert webhooks.admin.get("one").disabled == "its endpoint responded with status 410 (Gone)"
    assert "webhook one is disabled: its endpoint responded with status 410" in caplog.text
    webhooks.publish(webhooks.event(99))
    assert webhooks.deliver() == {}


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_an_endpoint_accepts_with_any_status_of_success(webhooks: Webhooks, endpoint: Receiver, status: int) -> None:
    endpoint.always(status)
    published(webhooks, endpoint.url)
    assert webhooks.deliver() == {"delivered": 1}
    assert webhooks.count(Delivery) == 0


@pytest.mark.parametrize("status", [301, 308, 400, 401, 404, 429, 500, 503])
def test_any_other_status_is_a_failure(webhooks: Webhooks, endpoint: Receiver, status: int) -> None:
    with receiver() as other:
        endpoint.always(status, {"Location": other.url})
        published(webhooks, endpoint.url)
        assert webhooks.deliver() == {"failed": 1}
        assert other.received == []
    assert webhooks.delivery.error.startswith(f"the endpoint responded with status {status}")


def test_retry_after_is_honoured(webhooks: Webhooks, endpoint: Receiver) -> None:
    start = webhooks.clock.time
    published(webhooks, endpoint.url)
    for text, wait in (
        ("120", timedelta(seconds=120)),
        ("1", ATTEMPTS_AT[2] - ATTEMPTS_AT[1]),
        (format_datetime(start + timedelta(hours=1)), timedelta(minutes=50)),
        ("9" * 30, timedelta(hours=24)),
        ("soon", ATTEMPTS_AT[5] - ATTEMPTS_AT[4]),
        (f"Mon, 01 Jan {'9' * 20} 00:00:00 GMT", ATTEMPTS_AT[6] - ATTEMPTS_AT[5]),
    ):
        endpoint.always(503, {"Retry-After": text})
        webhooks.deliver()
        assert webhooks.delivery.next - webhooks.clock.time >= wait
        assert webhooks.delivery.next - webhooks.clock.time <= max(wait, timedelta(hours=5)), text
        assert webhooks.delivery.error == "the endpoint responded with status 503"
        webhooks.clock.time = webhooks.delivery.next


def test_what_waits_for_a_busy_endpoint_loses_no_attempt(webhooks: Webhooks, endpoint: Receiver) -> None:
    """An endpoint that takes a few a minute gets all of them."""
    accepted = set[str]()

    def take_three(request: Received) -> tuple[int, dict[str, str]]:
        if len(accepted) >= 3 * len(rounds):
            return 429, {"Retry-After": "60"}
        accepted.add(request.headers["webhook-id"])
        return 204, {}

    endpoint.respond = take_three
    rounds: list[int] = []
    published(webhooks, endpoint.url, 30)
    while webhooks.deliveries:
        rounds.append(len(accepted))
        webhooks.deliver()
        webhooks.clock.advance(seconds=61)
    assert len(accepted) == 30
    assert len(rounds) < 20


def test_a_busy_endpoint_is_not_waited_for_without_end(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(429, {"Retry-After": "3600"})
    published(webhooks, endpoint.url, 20)
    start = webhooks.clock.time
    while {each.state for each in webhooks.deliveries} != {DEAD}:
        webhooks.deliver()
        assert webhooks.clock.advance(hours=1) - start < timedelta(days=12)


def test_deliveries_to_an_unreachable_endpoint_cost_a_few_attempts(webhooks: Webhooks) -> None:
    with receiver() as closed:
        pass
    published(webhooks, closed.url, 100)
    attempts = []
    client = webhooks.client
    post = client.post
    client.post = lambda *args: attempts.append(args) or post(*args)  # type: ignore[method-assign,func-returns-value]
    counts = deliveries.DeliveryRun(webhooks.metadata, client, webhooks.clock).run(lambda: False)
    assert counts == {"failed": 100}
    assert len(attempts) <= endpoint_queue.MAX_UNREACHABLE + endpoint_queue.MAX_PER_WEBHOOK
    assert {each.attempts for each in webhooks.deliveries} == {1}
    assert {each.error for each in webhooks.deliveries} == {
        "the endpoint was not reached: it cannot be reached: Connection refused"
    }


def test_attempts_end_with_their_run(webhooks: Webhooks, endpoint: Receiver) -> None:
    """One that has no time left fails at once, as one without a response does."""
    published(webhooks, endpoint.url)
    assert webhooks.delivery_run().run(lambda: False, time.monotonic() - 1) == {"failed": 1}
    assert webhooks.delivery.error == "the endpoint was not reached: it did not respond in time"
    assert endpoint.received == []
    webhooks.clock.time = webhooks.delivery.next
    assert webhooks.delivery_run().run(lambda: False, time.monotonic() + 60) == {"delivered": 1}


def test_a_run_that_is_over_begins_no_attempt(webhooks: Webhooks, endpoint: Receiver) -> None:
    published(webhooks, endpoint.url, 10)
    assert webhooks.deliver(lambda: bool(endpoint.received))["delivered"] <= 4
    assert webhooks.deliver()["delivered"] >= 6


def test_deliveries_of_a_removed_webhook_are_deleted(webhooks: Webhooks, endpoint: Receiver) -> None:
    published(webhooks, endpoint.url, 150)
    late = webhooks.sink.publish([webhooks.event(999)]).writes
    webhooks.admin.remove("one")
    assert webhooks.count(Delivery) == 0
    with pytest.raises(WebhookError):
        webhooks.admin.remove("one")
    webhooks.metadata.commit(late)
    assert webhooks.deliver() == {"dropped": 1}
    assert webhooks.count(Delivery) == 0
    assert endpoint.received == []


def test_what_waits_for_a_disabled_webhook_becomes_dead_letters(webhooks: Webhooks, endpoint: Receiver) -> None:
    published(webhooks, endpoint.url, 150)
    webhooks.admin.disable("one")
    assert webhooks.deliver() == {"dead": 150}
    assert {each.error for each in webhooks.deliveries} == {"the webhook is disabled: by command"}
    webhooks.admin.enable("one")
    assert webhooks.admin.retry("one") == 150
    assert webhooks.deliver() == {"delivered": 150}


def test_an_address_that_may_not_be_reached_is_a_failure(webhooks: Webhooks) -> None:
    published(webhooks, "http://169.254.169.254/latest/meta-data/secret-path")
    assert webhooks.deliver() == {"failed": 1}
    assert "169.254.169.254, which is no address of the public internet" in webhooks.delivery.error
    assert "secret-path" not in webhooks.delivery.error


def test_a_defect_of_one_delivery_does_not_end_the_others(
    webhooks: Webhooks, endpoint: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    published(webhooks, endpoint.url, 3)
    client = webhooks.client
    post = client.post

    def fail(webhook: Webhook, event: str, body: str, ends_at: float | None) -> object:
        if event == webhooks.event(1, repository="team/one").name:
            raise ZeroDivisionError("https://hook.example/secret-path")
        return post(webhook, event, body, ends_at)

    client.post = fail  # type: ignore[method-assign,assignment]
    counts = deliveries.DeliveryRun(webhooks.metadata, client, webhooks.clock).run(lambda: False)
    assert counts == {"delivered": 2, "failed": 1}
    assert "secret-path" not in caplog.text + webhooks.delivery.error


def test_a_delivery_costs_a_claim_a_read_and_a_commit(webhooks: Webhooks, endpoint: Receiver) -> None:
    published(webhooks, endpoint.url, 5)
    calls = Counter[str]()

    def record(method: str, arguments: Mapping[str, Any], forward: Callable[[], Any]) -> Any:
        calls[method] += 1
        return forward()

    deliveries.DeliveryRun(ForwardingMetadata(webhooks.metadata, record), webhooks.client, webhooks.clock).run(
        lambda: False
    )
    # Beside those: what is stale, what is due before and after, and the webhook.
    assert calls == {"commit": 10, "read": 6, "due": 4}


def test_without_a_delivery_that_is_due_a_run_is_one_query(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(500)
    published(webhooks, endpoint.url, 5)
    webhooks.deliver()
    calls: list[str] = []

    def record(method: str, arguments: Mapping[str, Any], forward: Callable[[], Any]) -> Any:
        calls.append(method)
        return forward()

    metadata = ForwardingMetadata(webhooks.metadata, record)
    run = deliveries.DeliveryRun(metadata, webhooks.client, webhooks.clock)
    run.run(lambda: False)
    assert calls == ["due"] * 3  # the first run of a process searches for what is stale as well
    calls.clear()
    run.run(lambda: False)
    assert calls == ["due"]


def test_a_webhook_that_is_enabled_again_is_what_it_was(webhooks: Webhooks) -> None:
    webhooks.admin.add("https://hook.example/", id="one")
    before = webhooks.admin.get("one")
    webhooks.admin.disable("one")
    webhooks.admin.enable("one")
    assert webhooks.metadata.read([Key(Webhook, "one")])[Key(Webhook, "one")] == before
