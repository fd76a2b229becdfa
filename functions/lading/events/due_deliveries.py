"""DueDeliveries: reads the deliveries that are due, with their webhooks, in the order in which they became due."""

from collections.abc import Iterator, Sequence
from typing import Final

from lading.registry.change_context import Clock
from lading_storage.protocols import MetadataStore, QueueCursor
from lading_storage.records.core import Key
from lading_storage.records.events import WAITING, Delivery, Webhook

PAGE: Final = 200
MAX_READ: Final = 5_000
"""Deliveries of one query, and those that are read before all are read anew: past those of a slow endpoint as well."""


class DueDeliveries:
    """Reads each delivery once, until all are read anew. Not thread-safe."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Read from `metadata` what is due by `clock`."""
        self._metadata = metadata
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Read all of them anew, and the webhooks."""
        self._cursor: QueueCursor[Delivery] | None = None
        self._read = 0
        self._webhooks: dict[str, Webhook | None] = {}

    def pages(self) -> Iterator[Sequence[tuple[Delivery, Webhook | None]]]:
        """Yield pages of what was not read yet, with None for a webhook that was removed."""
        until = self._clock()
        while self._read < MAX_READ:
            page = self._metadata.due(Delivery, WAITING, until, after=self._cursor, limit=PAGE)
            if page:
                self._cursor = page[-1].cursor
                self._read += len(page)
                yield self._with_webhooks([each.record for each in page])
            if len(page) < PAGE:
                break

    def _with_webhooks(self, deliveries: Sequence[Delivery]) -> Sequence[tuple[Delivery, Webhook | None]]:
        keys = [Key(Webhook, each) for each in {each.webhook for each in deliveries} - self._webhooks.keys()]
        found = self._metadata.read(keys) if keys else None
        self._webhooks |= {key.id: found[key] for key in keys if found}
        return [(each, self._webhooks[each.webhook]) for each in deliveries]
