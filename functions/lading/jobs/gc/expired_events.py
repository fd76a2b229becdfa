"""Expiry of events that a topic or webhook has not taken for longer than the setting `keep` of the section [events].

The events of each range of the outbox sort by time, so the phase reads the ranges from their fronts, and one event that
is not due in each of them at most. Without events it makes one query.

A repository whose events a topic refuses keeps them until an operator has removed the cause. An event that was replayed
expires by the time of the replay.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from lading.jobs.job_report import RACE_LOST
from lading.jobs.phases import PAGE_SIZE, Phase
from lading.registry.batches import in_batches
from lading.registry.change_context import Clock
from lading.registry.events.outbox import MAX_EVENT_SIZE, sequence_of
from lading.registry.retry import try_to_commit
from lading_storage.protocols import Delete, MetadataStore, QueueCursor, Queued
from lading_storage.query import Query
from lading_storage.records.core import Key
from lading_storage.records.events import Event, StalledRepository


class ExpiredEvents:
    """Removal of expired events, many in one commit."""

    def __init__(self, metadata: MetadataStore, keep: timedelta, clock: Clock, counts: Counter[str]) -> None:
        """Remove events older than `keep` from `metadata`, and count in `counts` those that changed meanwhile."""
        self._metadata = metadata
        self._keep = keep
        self._clock = clock
        self._counts = counts
        self._until = clock()
        self._stalled: set[str] = set()
        self._expired: list[Event] = []

    def phase(self) -> Phase:
        """Return the phase of a collection."""
        return Phase("events", self._page, self._expire, self._remove)

    def _page(self, after: QueueCursor[Any] | None) -> Sequence[Queued[Event]]:
        """Return the next expired events; nothing where no range has any."""
        self._until = self._clock() - self._keep
        position, until = after.key.id if after else "", sequence_of(self._until)
        while front := self._metadata.find(Query(Event, after=position, limit=1)):
            if front[0].sequence < until:
                events = self._metadata.find(Query(Event, after=position, limit=PAGE_SIZE))
                expired = [event for event in events if event.sequence < until]
                self._stalled = self._stalled_among({event.target for event in expired})
                return [Queued("", event) for event in expired]
            # Nothing after it is due in its range: "." sorts after all ids of a range, and before the next range.
            position = f"{front[0].id[0]}."
        return ()

    def _stalled_among(self, repositories: set[str]) -> set[str]:
        keys = [Key(StalledRepository, repository) for repository in repositories]
        found = self._metadata.read(keys)
        return {key.id for key in keys if found[key] is not None}

    def _expire(self, event: Event) -> str:
        if event.target in self._stalled:
            return "events kept: a topic refuses their repository"
        if event.replayed_at and event.replayed_at >= self._until:
            return "events kept: they were replayed"
        self._expired.append(event)
        return "events expired"

    def _remove(self) -> None:
        """Remove the events of a page in one commit, or one by one if a publisher has changed one of them."""
        expired, self._expired = self._expired, []
        in_batches(expired, self._remove_batch, size=lambda event: MAX_EVENT_SIZE)

    def _remove_batch(self, events: Sequence[Event]) -> None:
        if not try_to_commit(self._metadata, *map(Delete, events)):
            for event in events:
                self._counts[RACE_LOST] += not try_to_commit(self._metadata, Delete(event))
