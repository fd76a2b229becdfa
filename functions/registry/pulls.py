"""When manifests were last pulled, to the hour.

A pull only notes what was pulled, in memory. Some seconds later one thread writes it down, at most once an hour for a
manifest, however many processes serve it: who comes second sees that it was written within the hour, or loses the race.
What was noted and not written is lost where a process is killed.
"""

import contextlib
import logging
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cachetools import TTLCache

from functions.registry.acts import Clock
from storage.errors import Conflict, StorageError
from storage.protocols import Create, MetadataStore, Replace, Write
from storage.records import Key
from storage.upkeep import Pull

EVERY: Final = timedelta(hours=1)
MOST_REMEMBERED: Final = 20_000
"""Manifests that this process remembers to have noted within the hour."""

MOST_WAITING: Final = 10_000
"""Notes that wait to be written; what comes beyond is not noted, and its next pull is."""

AT_ONCE: Final = 100
DELAY: Final = 10.0
"""Seconds that a note waits for others: and a process that has just started serves pulls first, before it loads what
writing takes."""

PATIENCE: Final = 10.0
"""Seconds that closing waits for what is not yet written."""

log = logging.getLogger("lading")


@dataclass(frozen=True, slots=True)
class _Note:
    key: Key[Pull]
    pulled: datetime


class Pulls:
    """Writes down pulls. Any thread may use it."""

    def __init__(self, metadata: MetadataStore, clock: Clock) -> None:
        """Write into `metadata`; the thread that does begins with the first note."""
        self._metadata = metadata
        self._clock = clock
        self._noted: TTLCache[Key[Pull], bool] = TTLCache(
            MOST_REMEMBERED, EVERY.total_seconds(), timer=lambda: clock().timestamp()
        )
        self._lock = threading.Lock()
        self._waiting: queue.Queue[_Note | None] = queue.Queue(MOST_WAITING)
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def stop(self) -> None:
        """Note nothing from now on: the store is not to be written."""
        self._stopped = True

    def note(self, repository: str, digest: str) -> None:
        """A manifest was pulled. Neither waits nor fails."""
        key = Key(Pull, digest, repository)
        # Nearly all pulls are of what was noted within the hour: they look without waiting for one another.
        if self._stopped or key in self._noted:
            return
        with self._lock:
            if key in self._noted:
                return
            try:
                self._waiting.put_nowait(_Note(key, self._clock()))
            except queue.Full:
                return
            self._noted[key] = True
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="pulls", daemon=True)
                self._thread.start()

    def flush(self) -> None:
        """Write all that was noted so far, and wait for that."""
        self._hurry.set()
        self._waiting.join()
        self._hurry.clear()

    def close(self) -> None:
        """Write what was noted, for some seconds at most."""
        if self._thread is not None:
            self._hurry.set()
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=PATIENCE)
                self._thread.join(PATIENCE)

    def _write_all(self) -> None:
        """What the thread does: write what waits, many at once, until it is told to end by None."""
        taken: list[_Note | None] = []
        while None not in taken:
            taken = [self._waiting.get()]
            self._hurry.wait(DELAY)
            while len(taken) < MOST_WAITING and not self._waiting.empty():
                taken.append(self._waiting.get())
            notes = list({note.key: note for note in taken if note is not None}.values())
            for start in range(0, len(notes), AT_ONCE):
                self._try_to_write(notes[start : start + AT_ONCE])
            for _ in taken:
                self._waiting.task_done()

    def _try_to_write(self, notes: Sequence[_Note]) -> None:
        """Write these; where that fails, let their next pulls be noted. The thread goes on whatever happens."""
        try:
            self._write(notes)
        except Exception as error:
            log.warning("pulls of %d manifests are not on record: %s", len(notes), error, exc_info=_is_ours(error))
            with self._lock:
                for note in notes:
                    self._noted.pop(note.key, None)

    def _write(self, notes: Sequence[_Note]) -> None:
        """Write those that nobody wrote within the hour: together, or, where another has been quicker, each alone."""
        found = self._metadata.read([note.key for note in notes])
        writes: list[Write] = []
        for note in notes:
            pull = Pull(id=note.key.id, repository=note.key.repository, pulled=note.pulled)
            before = found[note.key]
            if before is None:
                writes.append(Create(pull))
            elif note.pulled - before.pulled >= EVERY:
                writes.append(Replace(replace(pull, version=before.version)))
        if not writes:
            return
        try:
            self._metadata.commit(writes)
        except Conflict:
            for write in writes:
                self._write_one(write)

    def _write_one(self, write: Write) -> None:
        try:
            self._metadata.commit([write])
        except Conflict:
            # Another process has just written the same.
            return


def _is_ours(error: Exception) -> bool:
    """Whether it is a defect of ours, and no fault of the store."""
    return not isinstance(error, StorageError)
