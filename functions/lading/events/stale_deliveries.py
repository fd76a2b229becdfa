"""StaleDeliveries: deletes dead letters that were not retried in time, and makes due what a clock set back holds up."""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from lading.events.independent_writes import commit_independent
from lading.events.retry_schedule import MAX_WAIT
from lading.jobs.phases import END_OF_TIME
from lading.registry.change_context import Clock
from lading_storage.protocols import Delete, MetadataStore, QueueCursor, Replace, Write
from lading_storage.records.core import Key, due_entry
from lading_storage.records.events import DEAD, WAITING, Delivery

KEEP_DEAD: Final = timedelta(days=30)
"""How long a dead letter can be retried."""

MAX_STALE: Final = 200
"""Deliveries of each sort that are handled at a time."""

INTERVAL: Final = 3_600.0
"""Seconds between two searches by one process: without what is stale, each costs two queries."""


class StaleDeliveries:
    """Deliveries that no run comes to by itself. Not thread-safe."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Handle those in `metadata` that are stale by `clock`."""
        self._metadata = metadata
        self._clock = clock
        self._searches_at = 0.0

    def handle(self) -> int:
        """Handle what is stale, unless that was done within INTERVAL; return how many dead letters were deleted."""
        if time.monotonic() < self._searches_at:
            return 0
        now = self._clock()
        old = self._metadata.due(Delivery, DEAD, now - KEEP_DEAD, limit=MAX_STALE)
        # No wait is that long: when it began, the clock was ahead of what it is now.
        latest = QueueCursor(due_entry(WAITING, now + MAX_WAIT), Key(Delivery, "-"))
        held_up = self._metadata.due(Delivery, WAITING, END_OF_TIME, after=latest, limit=MAX_STALE)
        self._commit([Delete(each.record) for each in old])
        self._commit([Replace(replace(each.record, next=now)) for each in held_up])
        if max(len(old), len(held_up)) < MAX_STALE:
            self._searches_at = time.monotonic() + INTERVAL
        return len(old)

    def _commit(self, writes: Sequence[Write]) -> None:
        commit_independent(self._metadata, writes)
