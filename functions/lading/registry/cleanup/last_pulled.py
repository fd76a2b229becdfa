"""Last pulls: when each manifest was last pulled (GET or HEAD, by tag or digest), to the hour.

A pull is recorded before its response, since Cloud Run allots no CPU time afterwards: at most once an hour for a
manifest, in one commit, which conflicts if another process has just recorded it.

    pull ──▶ is_due? ──no──▶ response                  a lookup in memory: nearly all pulls
                └─yes──▶ record_pull ──▶ queue ──▶ commit ──▶ response

In each process, one request at a time writes: everything in the queue, until it is empty, or for MAX_WRITING; then the
next pull, of any manifest, continues. A request that sees a writer leaves its own pull in the queue and responds: the
writer's request is open, so it has CPU time. So 1,000 concurrent pulls cost one commit, and if the store does not
respond, one pull waits and no other.

A failed commit never fails a pull. Its batch returns to the queue, and after RETRY_INTERVAL the next pull, of any
manifest, writes it. It is lost only if the process is killed before.

The commit touches the manifest. Clean-up deletes a manifest at the version that it has evaluated, so of a pull and a
deletion that collide the second conflicts, and a pulled manifest is evaluated again. Clean-up takes into account that
pulls are not recorded within MIN_WRITE_INTERVAL.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Final

from cachetools import TTLCache

from lading.registry.change_context import Clock
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import StorageError
from lading_storage.protocols import Create, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import Key, Manifest
from lading_storage.records.jobs import LastPull

MIN_WRITE_INTERVAL: Final = timedelta(hours=1)
"""Minimum time between two writes for one manifest."""

RETRY_INTERVAL: Final = timedelta(seconds=30)
"""Time between a failed commit and the next one: a store that does not respond must not slow every pull."""

MAX_WRITING: Final = timedelta(seconds=1)
"""Time for which one request starts commits, for itself and others: under steady load the queue is never empty."""

MAX_CACHED: Final = 20_000
"""Manifests whose last pull within the hour this process caches."""

MAX_QUEUED: Final = 10_000
"""Pulls in the queue; further ones are not recorded, and the next pull of the manifest is."""

BATCH_SIZE: Final = 100
"""Pulls in one commit."""

log = logging.getLogger("lading")


class LastPulls:
    """Recorder of last pulls. Thread-safe."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Write to `metadata`."""
        self._metadata = metadata
        self._clock = clock
        self._recorded: TTLCache[Key[LastPull], bool] = TTLCache(
            MAX_CACHED, MIN_WRITE_INTERVAL.total_seconds(), timer=lambda: clock().timestamp()
        )
        self._lock = threading.Lock()
        self._queue: dict[Key[LastPull], datetime] = {}
        self._is_writing = False
        self._retry_at: datetime | None = None
        self._stopped = False

    def stop(self) -> None:
        """Record nothing from now on, since the store must not be written."""
        self._stopped = True

    def is_due(self, repository: str, digest: str) -> bool:
        """Return whether `record_pull` may write, and so wait for the store."""
        if self._stopped:
            return False
        # Without the lock: nearly all pulls were recorded within the last hour, and the queue is empty.
        if Key(LastPull, digest, repository) not in self._recorded:
            return True
        return bool(self._queue) and not self._is_writing and self._may_write()

    def record_pull(self, repository: str, digest: str) -> None:
        """Record a pull of a manifest, unless one was recorded within the last hour. Never raises."""
        if not self.is_due(repository, digest):
            return
        key = Key(LastPull, digest, repository)
        with self._lock:
            if key not in self._recorded and len(self._queue) < MAX_QUEUED:
                self._recorded[key] = True
                self._queue[key] = self._clock()
            if self._is_writing or not self._may_write():
                return
            self._is_writing = True
        self._write_queued(self._clock() + MAX_WRITING)

    def close(self) -> None:
        """Try once more to write the queue."""
        with self._lock:
            if self._is_writing or not self._queue:
                return
            self._is_writing = True
        self._write_queued()

    def _may_write(self) -> bool:
        return self._retry_at is None or self._clock() >= self._retry_at

    def _write_queued(self, until: datetime | None = None) -> None:
        """Write until the queue is empty, `until` has passed, or a commit fails; then another request may write."""
        while batch := self._next_batch(until):
            try:
                retry_on_conflict(lambda batch=batch: self._write(batch))  # type: ignore[misc]
            except Exception as error:
                is_defect = not isinstance(error, StorageError)
                log.warning("last pulls of %d manifests are not written yet: %s", len(batch), error, exc_info=is_defect)
                self._requeue(batch)
                return

    def _next_batch(self, until: datetime | None) -> Mapping[Key[LastPull], datetime]:
        """Take the next batch from the queue; if it is empty, as after `until`, this thread stops being the writer."""
        with self._lock:
            has_expired = until is not None and self._clock() >= until
            batch = {} if has_expired else dict(islice(self._queue.items(), BATCH_SIZE))
            for key in batch:
                del self._queue[key]
            self._is_writing = bool(batch)
            return batch

    def _requeue(self, batch: Mapping[Key[LastPull], datetime]) -> None:
        """Return a batch that could not be written to the queue."""
        with self._lock:
            # Pulls that were queued meanwhile are later.
            self._queue = {**batch, **self._queue}
            self._retry_at = self._clock() + RETRY_INTERVAL
            self._is_writing = False

    def _write(self, batch: Mapping[Key[LastPull], datetime]) -> None:
        """Write those pulls that no process recorded within the hour. Raises Conflict if one is just doing so."""
        manifests = {key: Key(Manifest, key.id, key.repository) for key in batch}
        found = self._metadata.read([*batch, *manifests.values()], content=False)
        writes: list[Write] = []
        for key, pulled in batch.items():
            last = found[key]
            if found[manifests[key]] is None or (last is not None and pulled - last.pulled < MIN_WRITE_INTERVAL):
                continue
            pull = LastPull(id=key.id, repository=key.repository, pulled=pulled)
            writes.append(Create(pull) if last is None else Replace(replace(pull, version=last.version)))
            writes.append(Touch(manifests[key]))
        if writes:
            self._metadata.commit(writes)
