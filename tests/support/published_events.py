"""Published events, as the publisher writes them, for tests of their readers."""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from lading.registry.events.outbox import EPOCH, MICROSECOND
from lading_storage.protocols import Create, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import R, Record
from lading_storage.records.events import PublishedEvent


def published_event(
    number: int, at: datetime, repository: str = "team/app", type: str = "tag.moved", by: str = "alice"
) -> PublishedEvent:
    """Return an event that was published at a time; its public id derives from its number."""
    name = hashlib.sha256(f"{repository} {number}".encode()).hexdigest()[:32]
    sequence = f"{number:016d}-{1:010d}"
    return PublishedEvent(
        id=f"{(at - EPOCH) // MICROSECOND:016d}-0-{sequence}-{name[:8]}",
        name=name,
        type=type,
        target=repository,
        tag=f"v{number}",
        digest="sha256:" + hashlib.sha256(str(number).encode()).hexdigest(),
        action="push",
        by=by,
        request="r" * 8,
        moved=at,
        sequence=sequence,
        published=at,
    )


def publish(metadata: MetadataStore, *events: PublishedEvent) -> None:
    """Write published events."""
    for start in range(0, len(events), 100):
        metadata.commit([Create(each) for each in events[start : start + 100]])


class LateStore:
    """Published events that become visible at a time of their own, after their publication. Counts reads."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.visible: list[tuple[datetime, PublishedEvent]] = []
        self.reads = 0
        self.records = 0

    def add(self, event: PublishedEvent, delay: timedelta = timedelta(0)) -> None:
        """Publish an event, visible after a delay."""
        self.visible.append((event.published + delay, event))

    def find(self, query: Query[R]) -> Sequence[Record]:
        """See MetadataStore.find."""
        found = sorted((each for at, each in self.visible if at <= self.now and each.id > query.after), key=_id_of)
        self.reads += 1
        self.records += len(found[: query.limit])
        return found[: query.limit]


def _id_of(record: Record) -> str:
    return record.id
