"""Published events: what the publisher has finished, kept for a while for those who read it."""

from dataclasses import fields
from datetime import datetime
from typing import Final

from lading.registry.events.event_feed import KEPT
from lading.registry.events.outbox import EPOCH, MICROSECOND
from lading.registry.retry import try_to_commit
from lading_storage.protocols import Delete, MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import Event, PublishedEvent

MAX_FORGOTTEN: Final = 1000
"""Published events that one call forgets, at most."""

PAGE: Final = 100


def published(event: Event, time: datetime) -> PublishedEvent:
    """Return the record of an event that is finished at a time. Its id sorts by that time, then as the event's."""
    values = {each.name: getattr(event, each.name) for each in fields(event)}
    microseconds = (time - EPOCH) // MICROSECOND
    return PublishedEvent(
        **{**values, "id": f"{microseconds:016d}-{event.id}", "version": "", "sent": ()}, published=time
    )


def forget_old(metadata: MetadataStore, time: datetime) -> int:
    """Delete published events older than KEPT, MAX_FORGOTTEN at most; return how many.

    Reads from the front, and a page only where its first event is old: the cost is that of what is deleted, and of two
    queries.
    """
    forgotten, before = 0, time - KEPT
    if not _front(metadata, before, 1):
        return 0
    while forgotten < MAX_FORGOTTEN:
        old = _front(metadata, before, PAGE)
        # A conflict means that another publisher deletes the same ones.
        if not old or not try_to_commit(metadata, *map(Delete, old)):
            break
        forgotten += len(old)
        if len(old) < PAGE:
            break
    return forgotten


def _front(metadata: MetadataStore, before: datetime, limit: int) -> list[PublishedEvent]:
    """Return those of the first `limit` published events that were published until `before`."""
    return [each for each in metadata.find(Query(PublishedEvent, limit=limit)) if each.published <= before]
