"""Last pulls: when each manifest was last pulled, to the hour.

A pull is written before it is answered, since Cloud Run gives no processor's time afterwards: at most once an hour for
a manifest, in one commit that fails where another process has just written it.

    GET ──▶ is_due? ──no──▶ answer                   a lookup in memory: nearly all pulls
               └─yes──▶ note ──▶ waiting ──▶ commit ──▶ answer

One request of a process writes at a time, all that waits, and goes on until nothing does, or for MAX_WRITING: then the
next pull, of anything, goes on. A request that finds a writer leaves its own pull to that one and is answered: the
writer's request is open, so it has a processor. So 1,000 pulls at once cost one commit, and where the store does not
answer, one pull waits and no other.

A failed commit never fails a pull. What it was to write waits on, and RETRY_INTERVAL later the next pull, of anything,
writes it. It is lost only where the process is killed before.

The commit touches the manifest. Clean-up deletes a manifest at the version that it has judged, so of a pull and a
deletion that collide the second fails: what was pulled is judged again. Clean-up allows for INTERVAL, in which pulls
are not written.
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
"""Between two writes for one manifest."""

RETRY_INTERVAL: Final = timedelta(seconds=30)
"""After a failed commit, until the next one: a store that does not answer must not slow one pull after the other."""

MAX_WRITING: Final = timedelta(seconds=1)
"""For which one request begins commits, its own and others': while a client pulls one manifest after another, there is
always one more."""

MAX_CACHED: Final = 20_000
"""Manifests that this process remembers to have noted within the hour."""

MAX_QUEUED: Final = 10_000
"""Pulls that wait for a commit; one beyond is not noted, and the manifest's next pull is."""

BATCH_SIZE: Final = 100
"""Pulls in one commit."""

log = logging.getLogger("lading")


class LastPulls:
    """Writes down pulls. Any thread may use it."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Write into `metadata`."""
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
        """Note nothing from now on: the store is not to be written."""
        self._stopped = True

    def is_due(self, repository: str, digest: str) -> bool:
        """Return whether `note` may have to write, and so to wait for the store."""
        if self._stopped:
            return False
        # Without the lock: nearly all pulls are of what was noted within the hour, and nothing waits.
        if Key(LastPull, digest, repository) not in self._recorded:
            return True
        return bool(self._queue) and not self._is_writing and self._may_write()

    def record_pull(self, repository: str, digest: str) -> None:
        """Write down that a manifest is pulled, unless that is on record of the last hour. Never raises."""
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
        """Try once more to write what waits."""
        with self._lock:
            if self._is_writing or not self._queue:
                return
            self._is_writing = True
        self._write_queued()

    def _may_write(self) -> bool:
        return self._retry_at is None or self._clock() >= self._retry_at

    def _write_queued(self, until: datetime | None = None) -> None:
        """Write until nothing waits, or that time, or a commit fails; whatever happens, the next request may write."""
        while batch := self._next_batch(until):
            try:
                retry_on_conflict(lambda batch=batch: self._write(batch))  # type: ignore[misc]
            except Exception as error:
                is_defect = not isinstance(error, StorageError)
                log.warning("last pulls of %d manifests are not written yet: %s", len(batch), error, exc_info=is_defect)
                self._requeue(batch)
                return

    def _next_batch(self, until: datetime | None) -> Mapping[Key[LastPull], datetime]:
        """Take what is to be written next, which is nothing after `until`; with nothing, no thread writes any more."""
        with self._lock:
            is_over = until is not None and self._clock() >= until
            batch = {} if is_over else dict(islice(self._queue.items(), BATCH_SIZE))
            for key in batch:
                del self._queue[key]
            self._is_writing = bool(batch)
            return batch

    def _requeue(self, batch: Mapping[Key[LastPull], datetime]) -> None:
        """Let what could not be written wait for the next commit."""
        with self._lock:
            # What has come meanwhile is later.
            self._queue = {**batch, **self._queue}
            self._retry_at = self._clock() + RETRY_INTERVAL
            self._is_writing = False

    def _write(self, batch: Mapping[Key[LastPull], datetime]) -> None:
        """Write those pulls that no process wrote within the hour. Raises Conflict where one is just doing so."""
        manifests = {key: Key(Manifest, key.id, key.repository) for key in batch}
        found = self._metadata.read([*batch, *manifests.values()], content=False)
        writes: list[Write] = []
        for key, pulled in batch.items():
            before = found[key]
            if found[manifests[key]] is None or (before is not None and pulled - before.pulled < MIN_WRITE_INTERVAL):
                continue
            pull = LastPull(id=key.id, repository=key.repository, pulled=pulled)
            writes.append(Create(pull) if before is None else Replace(replace(pull, version=before.version)))
            writes.append(Touch(manifests[key]))
        if writes:
            self._metadata.commit(writes)
