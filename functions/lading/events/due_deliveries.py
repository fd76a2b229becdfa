"""DueDeliveries: reads the deliveries that are due, with their webhooks, so that each webhook has its share.

    the queue of all webhooks, in the order in which deliveries became due ──▶ the first MAX_READ
    where more are due: those of each webhook that has few among these     ──▶ MAX_LOOKED records of each

So what a slow endpoint has not accepted yet, however much that is, delays the deliveries of no other. Where less is
due, which is the common case, the queue is all that is read.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from lading.events.endpoint_queue import MAX_QUEUED
from lading.events.webhooks import MAX_WEBHOOKS
from lading.registry.change_context import Clock
from lading_storage.protocols import MetadataStore, QueueCursor
from lading_storage.query import Query
from lading_storage.records.core import Key, due_entry
from lading_storage.records.events import WAITING, Delivery, Webhook

PAGE: Final = 200
"""Deliveries of one query."""

MAX_READ: Final = 1_000
"""Deliveries that are read in the order in which they became due; beyond that, those of each webhook are."""

MAX_LOOKED: Final = 1_000
"""Deliveries of one webhook, due or not, that are read at a time; the next time, those that follow."""

Page = Sequence[tuple[Delivery, Webhook | None]]


class DueDeliveries:
    """Reads each delivery once, until all are read anew. Not thread-safe."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Read from `metadata` what is due by `clock`."""
        self._metadata = metadata
        self._clock = clock
        self._positions: dict[str, str] = {}
        self.begin()

    def begin(self) -> None:
        """Read all of them anew, and the webhooks."""
        self._cursor: QueueCursor[Delivery] | None = None
        self._read = set[tuple[str, str]]()
        self._webhooks: dict[str, Webhook | None] = {}

    def pages(self) -> Iterator[Page]:
        """Yield pages of what was not read yet, with None for a webhook that was removed."""
        until, counts = self._clock(), Counter[str]()
        while counts.total() < MAX_READ:
            page = self._metadata.due(Delivery, WAITING, until, after=self._cursor, limit=PAGE)
            if page:
                self._cursor = page[-1].cursor
                counts.update(each.record.webhook for each in page)
                yield from self._unread([each.record for each in page])
            if len(page) < PAGE:
                return
        for webhook in self._metadata.find(Query(Webhook, limit=MAX_WEBHOOKS)):
            # Of the others, as many as can be queued were read.
            if counts[webhook.id] < MAX_QUEUED:
                yield from self._of_webhook(webhook.id, until)
        self._cursor = QueueCursor(due_entry(WAITING, until), Key(Delivery, "-"))

    def _of_webhook(self, id: str, until: datetime) -> Iterator[Page]:
        """Yield pages of what is due of one webhook.

        Ids are in no order of time, and what is not due, such as dead letters, is read as well. So reading goes on
        where it ended the last time, and from the beginning after the last one.
        """
        began = position = self._positions.pop(id, "")
        for _ in range(0, MAX_LOOKED, PAGE):
            page = self._metadata.find(Query(Delivery, {"webhook": id}, after=position, limit=PAGE))
            due = [each for each in page if each.state == WAITING and each.next <= until]
            yield from self._unread(sorted(due, key=lambda each: each.next))
            if len(page) == PAGE:
                self._positions[id] = position = page[-1].id
            elif began:
                self._positions[id] = began = position = ""
            else:
                self._positions.pop(id, None)
                return

    def _unread(self, deliveries: Sequence[Delivery]) -> Iterator[Page]:
        """Yield a page of those that were not read yet, unless all were. One that has failed since counts anew."""
        unread = [each for each in deliveries if (each.id, each.version) not in self._read]
        self._read.update((each.id, each.version) for each in unread)
        if unread:
            yield self._with_webhooks(unread)

    def _with_webhooks(self, deliveries: Sequence[Delivery]) -> Page:
        keys = [Key(Webhook, each) for each in {each.webhook for each in deliveries} - self._webhooks.keys()]
        found = self._metadata.read(keys) if keys else None
        self._webhooks |= {key.id: found[key] for key in keys if found}
        return [(each, self._webhooks[each.webhook]) for each in deliveries]
