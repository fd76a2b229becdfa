"""Collecting garbage: what nobody can reach any more goes, and nothing else, while the registry serves on.

    adopt …    written by an older release                 ─▶ queued as by this one  (jobs.adoption)
    sessions   nobody went on with it for --grace          ─▶ ended
    policies   the clean-up policies delete it             ─▶ deleted, and can be restored
    deleted_…  its time to be restored is over             ─▶ forgotten; what it named is loose
    forgotten  hidden, and one that named it is forgotten  ─▶ hidden for another one, or removed
    links      loose for --grace, and no manifest names it ─▶ condemned: pushes and mounts see it no more
    condemned  for an hour, and still no manifest names it ─▶ removed; its blob is loose
    blobs      loose, and no repository links it           ─▶ its record becomes an ended session, with its object
    objects    a session that ended an hour ago            ─▶ its objects go, but for a blob's; then the session

Nothing is locked, and nobody waits. Each step reads a record, looks for what names it second, and writes at the version
that was read: whoever came in between touched the record, so the step fails, and is taken again the next time. A client
that was told that a blob is there has an hour at least to push the manifest that names it.

What may be garbage waits in a queue since a time (Record.due), and a phase reads those whose wait is over. So a
collection costs as much as there is garbage, however large the registry. It goes on where the last slice stopped; two
at once are of no use, and do no harm.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from lading.jobs.gc.migration import Migration
from lading.jobs.gc.reviews import CleanUp, ReviewPhases
from lading.jobs.gc.sweep import TOMBSTONES, GracePeriods, Sweeper
from lading.jobs.runner import END_OF_TIME, TIME_SLICE, JobReport, Phase, ResumableJob, queue_pages
from lading.registry.change_context import Clock, now
from lading.registry.registry import Registry
from lading_storage.protocols import MetadataStore, QueueCursor, Queued
from lading_storage.records.core import (
    DELETED,
    ENDED,
    HIDDEN_UNVERIFIED,
    MARKED,
    OPEN,
    UNVERIFIED,
    Blob,
    Link,
    R,
    Repository,
    Upload,
)
from lading_storage.records.deleted import DeletedLink

HOUR: Final = timedelta(hours=1)

Pages = Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]


class Collector:
    """Collects the garbage of one registry."""

    def __init__(
        self, registry: Registry, grace_periods: GracePeriods, clean_up: CleanUp | None = None, clock: Clock = now
    ) -> None:
        """Collect in the stores of `registry`."""
        self._metadata: MetadataStore = registry.metadata
        self._grace_periods = grace_periods
        self._clock = clock
        self._job = slices = ResumableJob("collect", registry.metadata, clock)
        self.throttle = slices.throttle
        self._sweeper = Sweeper(registry, grace_periods, clock, slices.report.counts, slices.is_out_of_time)
        self._migration = Migration(registry.metadata, clock, slices.report)
        self._reviews = ReviewPhases(registry.metadata, clean_up, slices, clock) if clean_up else None

    def run(
        self, limit: timedelta = TIME_SLICE, progress: Callable[[JobReport], None] = lambda report: None
    ) -> JobReport | None:
        """Run a slice: see Slices.run."""
        return self._job.run(self._phases(), limit, progress)

    def stop(self) -> None:
        """Let a slice that runs in another thread end after its step."""
        self._job.stop()

    def _phases(self) -> list[Phase]:
        reaper, waits = self._sweeper, self._grace_periods
        return [
            *self._migration.phases(),
            Phase("sessions", self._queue(Upload, OPEN, waits.grace), reaper.expire_session),
            *(self._reviews.phases() if self._reviews else ()),
            *(
                Phase(kind.KIND, self._queue(kind, DELETED, waits.undelete), reaper.purge_tombstone)
                for kind in TOMBSTONES
            ),
            Phase("forgotten", self._queue(DeletedLink, HIDDEN_UNVERIFIED, waits.marked), reaper.sweep_hidden_link),
            Phase("repositories", self._queue(Repository, DELETED, HOUR), reaper.sweep_repository),
            Phase("links", self._queue(Link, UNVERIFIED, waits.grace), reaper.mark_link),
            Phase("condemned", self._queue(Link, MARKED, waits.marked), reaper.sweep_link),
            Phase("blobs", self._queue(Blob, UNVERIFIED, timedelta(0)), reaper.sweep_blob),
            Phase(
                "objects",
                self._queue(Upload, ENDED, waits.ended_session),
                reaper.sweep_session,
                reaper.remove_swept_sessions,
            ),
        ]

    def _queue(self, kind: type[R], name: str, wait: timedelta) -> Pages:
        """Return the pages of what has waited for long enough; without a wait, of all."""

        def until() -> datetime:
            return self._clock() - wait if wait else END_OF_TIME

        return queue_pages(self._metadata, kind, name, until)
