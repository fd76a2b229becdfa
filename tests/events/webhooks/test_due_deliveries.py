"""What is due: each webhook has its share, however much waits for others; and a clock that was set back."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from lading.events import due_deliveries
from lading.events.due_deliveries import DueDeliveries
from lading.events.retry_schedule import MAX_WAIT
from lading.events.webhooks import delivery_id
from lading.registry.batches import in_batches
from lading_storage.forwarding import ForwardingMetadata
from lading_storage.protocols import Create, Delete, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import DEAD, WAITING, Delivery, Webhook
from tests.events.webhooks.webhook_fixtures import Webhooks, published
from tests.support.webhook_receiver import Receiver

PAGE, MAX_READ, MAX_LOOKED = 10, 40, 30


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("PAGE", PAGE), ("MAX_READ", MAX_READ), ("MAX_LOOKED", MAX_LOOKED), ("MAX_QUEUED", PAGE)):
        monkeypatch.setattr(due_deliveries, name, value)


def deliver_to(
    webhooks: Webhooks, id: str, count: int, *, state: str = WAITING, seconds: int = 0, prefix: str = ""
) -> None:
    """Create deliveries of a webhook, due or dead since some seconds after now."""
    time = webhooks.clock() + timedelta(seconds=seconds)
    names = [f"{prefix}{number:032}" for number in range(count)]
    records = [
        Delivery(
            id=delivery_id(id, name),
            webhook=id,
            event=name,
            type="tag.moved",
            target="team/app",
            body="{}",
            next=time,
            state=state,
            created=time,
        )
        for name in names
    ]
    in_batches([Create(each) for each in records], webhooks.metadata.commit)


def add(webhooks: Webhooks, *ids: str) -> None:
    for id in ids:
        webhooks.admin.add("https://hook.example/", id=id)


def read(due: DueDeliveries) -> Counter[str]:
    """Read what was not read yet; return how many deliveries, by webhook."""
    return Counter(delivery.webhook for page in due.pages() for delivery, _ in page)


def counted(metadata: MetadataStore) -> tuple[MetadataStore, Counter[str]]:
    """A store that counts what its queries return, and the queries."""
    counts = Counter[str]()

    def count(method: str, arguments: Mapping[str, Any], forward: Callable[[], Any]) -> Any:
        found = forward()
        if method in ("due", "find"):
            counts.update({method: 1, "records": len(found)})
        return found

    return ForwardingMetadata(metadata, count), counts


@pytest.mark.usefixtures("small_pages")
def test_each_webhook_has_its_share_however_much_is_due_of_another(webhooks: Webhooks) -> None:
    add(webhooks, "busy", "other", "idle")
    deliver_to(webhooks, "busy", 3 * MAX_READ)
    deliver_to(webhooks, "other", 3, seconds=1)
    webhooks.clock.advance(seconds=2)
    metadata, counts = counted(webhooks.metadata)
    due = DueDeliveries(metadata, webhooks.clock)
    assert read(due) == {"busy": MAX_READ, "other": 3}
    # The webhooks, and the deliveries of two of them; nothing more of the busy one.
    assert counts == {"due": MAX_READ / PAGE, "find": 3, "records": MAX_READ + 3 + 3}

    # Then it reads what has become due since, and that alone.
    counts.clear()
    webhooks.clock.advance(seconds=2)
    deliver_to(webhooks, "idle", 2)
    assert read(due) == {"idle": 2}
    assert counts == {"due": 1, "records": 2}
    assert read(due) == {}


@pytest.mark.usefixtures("small_pages")
def test_two_webhooks_with_more_than_is_read_both_have_a_share(webhooks: Webhooks) -> None:
    add(webhooks, "first", "second")
    deliver_to(webhooks, "first", 2 * MAX_READ)
    deliver_to(webhooks, "second", 2 * MAX_READ, seconds=1)
    webhooks.clock.advance(seconds=2)
    due, seen = DueDeliveries(webhooks.metadata, webhooks.clock), set[str]()
    for _ in range(4):
        due.begin()
        found = [each.id for page in due.pages() for each, _ in page if each.webhook == "second"]
        assert PAGE <= len(found) <= MAX_LOOKED
        seen.update(found)
    assert len(seen) == 2 * MAX_READ


@pytest.mark.usefixtures("small_pages")
def test_what_is_due_of_one_is_read_each_time_wherever_reading_ended(webhooks: Webhooks) -> None:
    """What is read ends with the last delivery of a webhook: the next time, that is no end."""
    add(webhooks, "busy", "other")
    deliver_to(webhooks, "busy", 2 * MAX_READ)
    deliver_to(webhooks, "other", MAX_LOOKED, seconds=1)
    webhooks.clock.advance(seconds=2)
    due = DueDeliveries(webhooks.metadata, webhooks.clock)
    for _ in range(4):
        due.begin()
        assert read(due)["other"] >= MAX_LOOKED - PAGE


@pytest.mark.usefixtures("small_pages")
def test_what_is_not_due_hides_nothing_that_is(webhooks: Webhooks) -> None:
    """Dead letters, and what is attempted later, are read as well, and more of them than are read at a time."""
    add(webhooks, "busy", "other")
    deliver_to(webhooks, "busy", 2 * MAX_READ)
    deliver_to(webhooks, "other", 2 * MAX_LOOKED, state=DEAD, prefix="a")
    deliver_to(webhooks, "other", MAX_LOOKED, seconds=1_000, prefix="b")
    deliver_to(webhooks, "other", 1, seconds=1, prefix="c")
    webhooks.clock.advance(seconds=2)
    due, found = DueDeliveries(webhooks.metadata, webhooks.clock), Counter[str]()
    for _ in range(5):
        due.begin()
        found += read(due)
    assert found["other"] == 1


@pytest.mark.usefixtures("small_pages")
def test_what_has_failed_meanwhile_is_read_again(webhooks: Webhooks) -> None:
    add(webhooks, "busy", "other")
    deliver_to(webhooks, "busy", 2 * MAX_READ)
    deliver_to(webhooks, "other", 1, seconds=1)
    webhooks.clock.advance(seconds=2)
    due = DueDeliveries(webhooks.metadata, webhooks.clock)
    read(due)
    (other,) = webhooks.metadata.find(Query(Delivery, {"webhook": "other"}, limit=2))
    webhooks.metadata.commit([Delete(other)])
    webhooks.metadata.commit([Create(replace(other, next=webhooks.clock.advance(seconds=1)))])
    assert read(due) == {"other": 1}


@pytest.mark.usefixtures("small_pages")
def test_an_endpoint_that_never_ends_what_waits_for_it_delays_no_other(webhooks: Webhooks, endpoint: Receiver) -> None:
    """The other one's deliveries became due after more than a run reads, and the first one accepts few at a time."""
    published(webhooks, endpoint.url, 2 * MAX_READ, "busy", ["team/busy"])
    webhooks.clock.advance(seconds=1)
    published(webhooks, f"{endpoint.url}/other", 5, "other", ["team/other"])
    webhooks.clock.advance(seconds=1)

    def others_are_delivered() -> bool:
        return sum(each.path.endswith("/other") for each in endpoint.received) == 5

    webhooks.deliver(others_are_delivered)
    waiting = Counter(each.webhook for each in webhooks.deliveries)
    assert waiting["other"] == 0
    assert waiting["busy"] > MAX_READ


@pytest.mark.usefixtures("small_pages")
def test_what_is_due_of_webhooks_that_were_removed_is_deleted_beside_others(webhooks: Webhooks) -> None:
    add(webhooks, "removed")
    deliver_to(webhooks, "removed", 2 * MAX_READ)
    (webhook,) = webhooks.metadata.find(Query(Webhook, limit=2))
    webhooks.metadata.commit([Delete(webhook)])
    assert webhooks.deliver() == {"dropped": 2 * MAX_READ}


@pytest.mark.parametrize(("back", "is_held_up"), [(timedelta(hours=1), True), (MAX_WAIT + timedelta(days=300), False)])
def test_a_clock_that_was_set_back_holds_deliveries_up_for_a_limited_time(
    webhooks: Webhooks, endpoint: Receiver, back: timedelta, is_held_up: bool
) -> None:
    endpoint.always(500)
    published(webhooks, endpoint.url, 3)
    webhooks.deliver()
    webhooks.clock.time -= back
    endpoint.always(204)
    assert webhooks.deliver() == ({} if is_held_up else {"delivered": 3})
    webhooks.clock.advance(hours=2)
    webhooks.deliver()
    assert webhooks.deliveries == []


def test_the_longest_wait_is_no_sign_of_a_clock_that_was_set_back(webhooks: Webhooks, endpoint: Receiver) -> None:
    endpoint.always(503, {"Retry-After": "9" * 9})
    published(webhooks, endpoint.url, 20)
    webhooks.deliver()
    assert webhooks.deliver() == {}
