"""Webhooks: a registry's webhooks, their sink and their deliveries, over a store and a clock that a test turns."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from ipaddress import ip_network
from typing import Final

import pytest

from lading.addresses import Addresses
from lading.auth.keys import generate_keys
from lading.events.deliveries import DeliveryRun
from lading.events.webhook_admin import WebhookAdmin
from lading.events.webhook_attempts import WebhookClient
from lading.events.webhooks import WebhookSink
from lading.outbound import Outbound
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import DEAD, WAITING, Delivery, Event
from lading_storage.stores import Stores
from tests.events import outbox_events
from tests.support.fake_clock import FakeClock
from tests.support.webhook_receiver import Receiver, receiver

REGISTRY: Final = "https://registry.example.com"
LOOPBACK: Final = [ip_network("127.0.0.0/8")]
FAR: Final = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass
class Webhooks:
    """The webhooks of one registry."""

    metadata: MetadataStore
    clock: FakeClock
    key: bytes = field(default_factory=lambda: generate_keys().robots)
    time_limit: float = 10.0

    @property
    def admin(self) -> WebhookAdmin:
        return WebhookAdmin(self.metadata, lambda: self.key, self.clock)

    @property
    def client(self) -> WebhookClient:
        outbound = Outbound(Addresses(LOOPBACK), time_limit=self.time_limit)
        return WebhookClient(outbound, lambda: self.key, self.clock)

    @cached_property
    def sink(self) -> WebhookSink:
        return WebhookSink(self.metadata, lambda: REGISTRY, self.clock)

    def delivery_run(self) -> DeliveryRun:
        """A delivery run, as another process would have it."""
        return DeliveryRun(self.metadata, self.client, self.clock, jitter=lambda: 0.0)

    def event(self, number: int = 0, type: str = "tag.moved", repository: str = "team/app") -> Event:
        """An event of a change now."""
        return outbox_events.event(number, repository, type, moved=self.clock())

    def publish(self, *events: Event) -> None:
        """Hand events to the sink, as the publisher does."""
        outcome = self.sink.publish(events)
        assert set(outcome.accepted) == {each.name for each in events}
        if outcome.writes:
            self.metadata.commit(outcome.writes)

    def deliver(self, is_over: Callable[[], bool] = lambda: False) -> Counter[str]:
        """Run the deliveries that are due."""
        return Counter(self.delivery_run().run(is_over))

    @property
    def deliveries(self) -> Sequence[Delivery]:
        return [
            each.record for state in (WAITING, DEAD) for each in self.metadata.due(Delivery, state, FAR, limit=10_000)
        ]

    @property
    def delivery(self) -> Delivery:
        (found,) = self.deliveries
        return found

    def count(self, kind: type[Delivery]) -> int:
        return len(self.metadata.find(Query(kind, limit=10_000)))


@pytest.fixture
def clock() -> FakeClock:
    """A clock that begins at the machine's time, which signatures are verified with."""
    clock = FakeClock()
    clock.time = datetime.now(UTC)
    return clock


@pytest.fixture
def webhooks(stores: Stores, clock: FakeClock) -> Webhooks:
    return Webhooks(stores.metadata, clock)


@pytest.fixture
def endpoint() -> Iterator[Receiver]:
    with receiver() as opened:
        yield opened


def published(webhooks: Webhooks, url: str, count: int = 1, id: str = "one", repositories: Sequence[str] = ()) -> None:
    """Add a webhook and publish events for it."""
    webhooks.admin.add(url, ["tag.*"], repositories, id)
    webhooks.publish(*(webhooks.event(number, repository=f"team/{id}") for number in range(count)))
