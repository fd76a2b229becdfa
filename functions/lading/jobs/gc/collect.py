"""Garbage collection: remove what no client can reach, and nothing else, while the registry serves requests.

Mark and sweep, in phases (the names are stored in the job's record, and logged):

    adopt …    written by an older release                   ─▶ queued as by this release (lading.jobs.gc.migration)
    sessions   no request for --grace                        ─▶ ended
    policies   the clean-up policies delete it               ─▶ deleted; can be restored
    deleted_…  tombstone whose undelete window is over       ─▶ purged; the links that it names become unverified
    forgotten  hidden link, a manifest that named it purged  ─▶ hidden again for another tombstone, or removed
    links      unverified for --grace, no manifest names it  ─▶ marked: invisible to pushes and mounts
    condemned  marked for an hour, and still not named       ─▶ removed; its blob becomes unverified
    blobs      unverified, no repository links it            ─▶ its record becomes an ended session with its object
    objects    a session that ended an hour ago              ─▶ its objects are removed, except a blob's; then itself
    events     not taken by a topic or webhook for long enough ─▶ removed

There are no locks, and no request waits. Each step reads a record, then looks for references to it, and commits at the
version that was read. A concurrent reference touches the record, so the commit fails, and a later collection repeats
the step. A client that got the reply that a blob exists has at least an hour to push the manifest that names it.

What may be garbage is in a queue since a time (Record.due), and a phase reads the entries whose wait is over. So the
cost of a collection grows with the garbage, not with the registry. A slice resumes where the last one stopped. Two
collections at the same time are useless but safe.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from lading.jobs.gc.expired_events import ExpiredEvents
from lading.jobs.gc.migration import Migration
from lading.jobs.gc.reviews import CleanUp, ReviewPhases
from lading.jobs.gc.sweep import TOMBSTONES, GracePeriods, Sweeper
from lading.jobs.job_report import JobReport
from lading.jobs.phases import END_OF_TIME, Phase, queue_pages
from lading.jobs.runner import TIME_SLICE, ResumableJob
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
        """Collect in the stores of `registry`.

        Args:
            registry: the registry.
            grace_periods: how long what may be garbage is kept.
            clean_up: applies the clean-up policies; None for a collection without them.
            clock: returns the current time.
        """
        self._metadata: MetadataStore = registry.metadata
        self._grace_periods = grace_periods
        self._clock = clock
        self._job = job = ResumableJob("collect", registry.metadata, clock)
        self.throttle = job.throttle
        self._sweeper = Sweeper(registry, grace_periods, clock, job.report.counts, job.is_out_of_time)
        self._events = ExpiredEvents(registry.metadata, grace_periods.events, clock, job.report.counts)
        self._migration = Migration(registry.metadata, clock, job.report)
        self._reviews = ReviewPhases(registry.metadata, clean_up, job, clock) if clean_up else None

    def run(
        self, limit: timedelta = TIME_SLICE, progress: Callable[[JobReport], None] = lambda report: None
    ) -> JobReport | None:
        """Run a slice: see ResumableJob.run."""
        return self._job.run(self._phases(), limit, progress)

    def stop(self) -> None:
        """Make a slice that runs in another thread end after its current step."""
        self._job.stop()

    def _phases(self) -> list[Phase]:
        sweeper, periods = self._sweeper, self._grace_periods
        return [
            *self._migration.phases(),
            Phase("sessions", self._queue(Upload, OPEN, periods.grace), sweeper.expire_session),
            *(self._reviews.phases() if self._reviews else ()),
            *(
                Phase(kind.KIND, self._queue(kind, DELETED, periods.undelete), sweeper.purge_tombstone)
                for kind in TOMBSTONES
            ),
            Phase("forgotten", self._queue(DeletedLink, HIDDEN_UNVERIFIED, periods.marked), sweeper.sweep_hidden_link),
            Phase("repositories", self._queue(Repository, DELETED, HOUR), sweeper.sweep_repository),
            Phase("links", self._queue(Link, UNVERIFIED, periods.grace), sweeper.mark_link),
            Phase("condemned", self._queue(Link, MARKED, periods.marked), sweeper.sweep_link),
            Phase("blobs", self._queue(Blob, UNVERIFIED, timedelta(0)), sweeper.sweep_blob),
            Phase(
                "objects",
                self._queue(Upload, ENDED, periods.ended_session),
                sweeper.sweep_session,
                sweeper.remove_swept_sessions,
            ),
            self._events.phase(),
        ]

    def _queue(self, kind: type[R], name: str, wait: timedelta) -> Pages:
        """Return the pages of the records that have been in a queue for `wait`, or of all if `wait` is zero."""

        def until() -> datetime:
            return self._clock() - wait if wait else END_OF_TIME

        return queue_pages(self._metadata, kind, name, until)
