"""WebhookSink: creates a delivery for each webhook that wants an event, in the commit that publishes the event.

event ──▶ WebhookSink ──▶ deliveries/{webhook}-{event} ──▶ DeliveryRun (lading.events.deliveries) ──▶ endpoint
"""

import json
import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from lading.events.cloud_event import cloud_event
from lading.events.sink import Outcome
from lading.registry import globs
from lading.registry.change_context import Clock
from lading_storage.protocols import Create, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import Delivery, Event, Webhook

MAX_WEBHOOKS: Final = 50
"""Webhooks of a registry: a commit creates a delivery for each of them."""

MAX_BODY: Final = 8 * 1024
"""Bytes of a delivery's body."""

TEST_TYPE: Final = "webhook.test"

OPTIONAL: Final = ("actor", "requestid")
"""Attributes that a body of more than MAX_BODY bytes goes without: clients choose how long they are."""


class WebhookSink:
    """Sink of all webhooks. Accepts each event: whether an endpoint receives it, its delivery shows."""

    name: Final = "webhooks"

    def __init__(self, metadata: MetadataStore, registry_url: Callable[[], str], clock: Clock) -> None:
        """Create deliveries in `metadata`.

        Args:
            metadata: the store of the registry.
            registry_url: returns the address of the registry that clients see; called if a webhook wants an event.
            clock: dates deliveries.
        """
        self._metadata = metadata
        self._registry_url = registry_url
        self._clock = clock

    def publish(self, events: Sequence[Event]) -> Outcome:
        """See Sink.publish. A replayed event that still has a delivery, waiting or dead, does not get another one."""
        webhooks, now = self._metadata.find(Query(Webhook, limit=MAX_WEBHOOKS)), self._clock()
        wanted = [
            self._delivery(webhook, event, now)
            for event in events
            for webhook in webhooks
            if wants(webhook, event, now)
        ]
        present = self._metadata.read([each.key for each in wanted]) if wanted else None
        return Outcome(
            frozenset(event.name for event in events),
            writes=[Create(each) for each in wanted if present is None or present[each.key] is None],
        )

    def _delivery(self, webhook: Webhook, event: Event, now: datetime) -> Delivery:
        return Delivery(
            id=delivery_id(webhook.id, event.name),
            webhook=webhook.id,
            event=event.name,
            type=event.type,
            target=event.target,
            body=body_of(event, self._registry_url()),
            next=now,
            created=now,
        )


def sample_event(now: datetime) -> Event:
    """Return an event of no change, with which a webhook is tested. Its type is none of those of changes."""
    return Event(id="sample", name=secrets.token_hex(16), type=TEST_TYPE, target="", moved=now, sequence="")


def wants(webhook: Webhook, event: Event, now: datetime) -> bool:
    """Return whether a webhook receives an event that its globs select: of a change since it was added, or a replay."""
    # After the clock was set back to before it was added, times do not show which changes came before that.
    is_since = event.moved >= webhook.created or now < webhook.created
    return (
        not webhook.disabled
        and (event.replayed_at or is_since)
        and matches(webhook.types, event.type)
        and matches(webhook.repositories, event.target)
    )


def matches(patterns: Sequence[str], text: str) -> bool:
    """Return whether a text matches one of the globs, or there are none."""
    return not patterns or any(globs.matches(each, text) for each in patterns)


def delivery_id(webhook: str, event: str) -> str:
    """Return the id of the delivery of an event, by its public id, to a webhook."""
    return f"{webhook}-{event}"


def body_of(event: Event, registry_url: str) -> str:
    """Return what is posted for an event: a CloudEvent in JSON, at most MAX_BODY bytes."""
    fields = cloud_event(event, registry_url)
    for name in OPTIONAL:
        if len(_text(fields).encode()) <= MAX_BODY:
            break
        fields.pop(name, None)
    return _text(fields)


def _text(fields: dict[str, object]) -> str:
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
