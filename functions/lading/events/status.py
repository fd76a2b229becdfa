"""What waits: events in the outbox, deliveries, stalled repositories."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lading.jobs.phases import END_OF_TIME
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.events import EVENT_RANGES, Delivery, Event, StalledRepository

MAX_COUNTED: Final = 1000
"""Records of one kind that are counted, at most: a count costs a read for each."""


@dataclass(frozen=True, slots=True)
class EventsStatus:
    """What waits. A count of MAX_COUNTED stands for that many or more.

    Attributes:
        waiting: events in the outbox.
        oldest: when the oldest of them was created, or None.
        deliveries: deliveries to webhooks, by state.
        stalled: repositories whose events a sink refuses.
    """

    waiting: int
    oldest: datetime | None
    deliveries: Mapping[str, int]
    stalled: Sequence[StalledRepository]


def status_of(metadata: MetadataStore) -> EventsStatus:
    """Return what waits."""
    events = metadata.find(Query(Event, limit=MAX_COUNTED))
    fronts = events if len(events) < MAX_COUNTED else _fronts(metadata)
    return EventsStatus(
        len(events),
        min((each.moved for each in fronts), default=None),
        {state: len(metadata.due(Delivery, state, END_OF_TIME, limit=MAX_COUNTED)) for state in Delivery.QUEUES},
        metadata.find(Query(StalledRepository, limit=MAX_COUNTED)),
    )


def _fronts(metadata: MetadataStore) -> Sequence[Event]:
    """Return the first event of each range, which is its oldest."""
    return [each for place in EVENT_RANGES for each in metadata.find(Query(Event, after=f"{place}-", limit=1))]
