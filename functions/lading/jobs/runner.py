"""Resumable jobs: long jobs in time slices, run by one process at a time.

A slice fits the timeout of a function, and resumes where the last one stopped. The job's record holds the lease and the
cursor. A process that is killed loses one slice, which is repeated after the lease expires; so every step must be safe
to repeat.

A record whose step fails does not stop the job: it is counted, reported with its key, and retried by the next run.
Many failures in a row mean that the store is down, and end the slice. If a record cannot even be listed, its phase
ends there, and the other phases run.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from lading.jobs import lease_holders
from lading.jobs.job_report import RACE_LOST, RECORDS_FAILED, JobReport
from lading.jobs.phases import END_OF_TIME, Phase, rewrite_if_unchanged
from lading.jobs.throttle import Throttle
from lading.registry.change_context import MAX_CLOCK_SKEW, Clock
from lading.registry.pagination import check_cursors_advance
from lading.registry.retry import try_to_commit
from lading_storage.errors import StorageError, Unavailable
from lading_storage.protocols import Create, MetadataStore, QueueCursor, Queued, Replace
from lading_storage.records.core import Key, Record
from lading_storage.records.jobs import Job

TIME_SLICE: Final = timedelta(minutes=8)
"""How long one run lasts. Cloud Scheduler waits for it; the lease is longer than both."""

LEASE_DURATION: Final = TIME_SLICE + timedelta(minutes=4)

MAX_CONSECUTIVE_FAILURES: Final = 10
"""Consecutive records whose step fails before the store counts as down, and the slice ends."""

log = logging.getLogger("lading")


class ResumableJob:
    """A job that runs in slices; the caller of `run` gives its phases."""

    def __init__(self, name: str, metadata: MetadataStore, clock: Clock) -> None:
        """Store the job's record in `metadata`, under its name."""
        self.report = JobReport()
        self._key = Key(Job, name)
        self._metadata = metadata
        self._clock = clock
        self._deadline = 0.0
        self._stopped = False
        self.began_at = END_OF_TIME
        self._failures = 0
        self._last_error = ""
        self.throttle = Throttle()

    def is_out_of_time(self) -> bool:
        """Return whether the slice should stop."""
        return self._stopped or time.monotonic() > self._deadline

    def stop(self) -> None:
        """Make the current slice, and all later ones, end after one step. Any thread may call it."""
        self._stopped = True

    def run(self, phases: Sequence[Phase], limit: timedelta, progress: Callable[[JobReport], None]) -> JobReport | None:
        """Run one slice.

        Args:
            phases: the phases of the job, in order.
            limit: how long the slice may last; it ends after the step that exceeds this.
            progress: called with the report after each page of records.

        Returns:
            What the job has done since its first slice, or None if another process holds the lease.

        Raises:
            Unavailable: a store is down. The next run repeats this slice, or resumes where it stopped.
        """
        started_at = time.monotonic()
        self._failures = 0
        self.throttle.start()
        self._deadline = started_at + limit.total_seconds()
        job = self._acquire_lease()
        if job is None:
            return None
        self.report.counts.clear()
        self.report.counts.update(json.loads(job.counts or "{}"))
        self.report.findings.clear()
        self.report.finished = False
        try:
            job = self._run_phases(job, phases, progress)
        finally:
            self.report.seconds = time.monotonic() - started_at
            self._release_lease(job)
        if self._is_store_down:
            raise Unavailable(f"{self._failures} records failed in a row: {self._last_error}")
        return self.report

    def _run_phases(self, job: Job, phases: Sequence[Phase], progress: Callable[[JobReport], None]) -> Job:
        """Run phases from the cursor of `job` until the time is over or all is done; return it with its new cursor."""
        names = [phase.name for phase in phases]
        for phase in phases[names.index(job.phase) if job.phase in names else 0 :]:
            self.report.phase, self.report.done, self.report.phases = phase.name, names.index(phase.name), len(names)
            cursor = self._run_phase(phase, _cursor(job) if phase.name == job.phase else None, progress)
            if cursor is not None:
                entry, key = cursor
                return replace(job, phase=phase.name, entry=entry, after=key.id, within=key.repository)
        self.report.finished, self.report.phase = True, ""
        return replace(job, phase="", entry="", after="", within="")

    def _run_phase(
        self, phase: Phase, after: QueueCursor[Any] | None, progress: Callable[[JobReport], None]
    ) -> QueueCursor[Any] | None:
        """Run a phase from a cursor; return the cursor to resume from, or None at the end of the phase.

        A cursor whose key has the id "" is the start of the phase. At least one record of a page is processed, even if
        the time is over.
        """
        while page := self._read_page(phase, after):
            for queued in page:
                outcome = self._handle(phase, queued)
                if outcome is None:
                    self._flush(phase)
                    return after or QueueCursor("", Key(Record, ""))
                self.report.counts[outcome] += 1
                after = queued.cursor
                if self.is_out_of_time() or self._is_store_down:
                    self._flush(phase)
                    return after
                self.throttle.pause()
            self._flush(phase)
            progress(self.report)
        return None

    def _read_page(self, phase: Phase, after: QueueCursor[Any] | None) -> Sequence[Queued[Any]]:
        """Return the next page of a phase. If it cannot be read, report that, and return none: other phases run.

        Raises:
            Unavailable: the store is down.
        """
        try:
            if page := phase.page(after):
                check_cursors_advance(after, [queued.cursor for queued in page])
        except Unavailable:
            raise
        except Exception as error:
            self.report.counts[RECORDS_FAILED] += 1
            self._report_failure(phase.name, error)
            return ()
        return page

    def _handle(self, phase: Phase, queued: Queued[Any]) -> str | None:
        """Run a phase's step on one record; if it fails, report that."""
        record = queued.record
        try:
            outcome = phase.handle(record) if queued.entry in ("", record.due) else self._requeue(record)
        except Exception as error:
            self._failures += 1
            self._report_failure(f"{phase.name}: {_shown(record.key)}", error)
            return RECORDS_FAILED
        self._failures = 0
        return outcome

    def _requeue(self, listed: Record) -> str:
        """Rewrite a record, so that its queue entry fits its fields: an older release has left another entry."""
        return "records queued anew" if rewrite_if_unchanged(self._metadata, listed) else RACE_LOST

    def _flush(self, phase: Phase) -> None:
        """Write what a phase has buffered. If that fails, the next run processes its records."""
        try:
            phase.flush()
        except Exception as error:
            self.report.counts[RECORDS_FAILED] += 1
            self._report_failure(phase.name, error)

    def _report_failure(self, where: str, error: Exception) -> None:
        self.report.findings.append(f"{where}: {error or type(error).__name__}")
        if not isinstance(error, StorageError):
            # A defect in Lading: the finding alone is not enough to locate it.
            log.exception("a step of a job failed: %s", where)
        # As text: the exception would keep alive what its frames refer to.
        self._last_error = str(error)

    @property
    def _is_store_down(self) -> bool:
        """Whether so many consecutive records failed that the store must be down."""
        return self._failures >= MAX_CONSECUTIVE_FAILURES

    def _acquire_lease(self) -> Job | None:
        """Return the job's record with a lease for this process, or None if another process holds one.

        See `_is_held` for leases that are ignored.
        """
        found = self._metadata.read([self._key])
        self.began_at = now = self._clock(found.read_at)
        job = found[self._key]
        if job is not None and _is_held(job, now):
            return None
        leased = replace(
            job or Job(id=self._key.id, created=now), holder=lease_holders.new_holder(), until=now + LEASE_DURATION
        )
        if not leased.phase:
            leased = replace(leased, created=now, counts="")
        if not try_to_commit(self._metadata, Replace(leased) if job else Create(leased)):
            return None
        return self._metadata.read([self._key])[self._key]

    def _release_lease(self, job: Job) -> None:
        """Release the lease and store the cursor, unless another process has taken the lease over meanwhile."""
        counts = "" if self.report.finished else json.dumps(self.report.counts)
        try_to_commit(self._metadata, Replace(replace(job, holder="", until=None, counts=counts)))


def _is_held(job: Job, now: datetime) -> bool:
    """Return whether another process holds a valid lease.

    A lease that ends later than one that is taken now was written by a clock that was ahead, and is ignored. So is the
    lease of a process of this machine that no longer runs: it was killed.
    """
    if job.until is None or not now < job.until <= now + LEASE_DURATION + MAX_CLOCK_SKEW:
        return False
    return not lease_holders.has_ended(job.holder)


def _cursor(job: Job) -> QueueCursor[Any] | None:
    """Return the cursor that is stored in a job's record, or None at the start of a phase."""
    return QueueCursor(job.entry, Key(Record, job.after, job.within)) if job.after else None


def _shown(key: Key[Any]) -> str:
    return f"{key.kind.KIND}/{f'{key.repository}@' if key.repository else ''}{key.id}"
