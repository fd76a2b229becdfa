"""Long jobs in slices: each fits the time that a function has, goes on where the last one stopped, and is alone.

The job's record is the lease and the cursor. Whoever is killed loses one slice, done again when the lease is over;
so every step must be safe to take twice.

A record whose step fails does not stop the others: it is counted, reported with its key, and left to the next run of
the job. Many failures in a row mean that the store is down, and end the slice. Nor does a record that cannot even be
listed: its phase ends there, and the other phases go on.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from lading.jobs import lease_holders
from lading.jobs.throttle import Throttle
from lading.registry.change_context import MAX_CLOCK_SKEW, Clock
from lading.registry.pagination import check_cursors_advance
from lading.registry.retry import try_to_commit
from lading_storage.errors import StorageError, Unavailable
from lading_storage.protocols import Create, MetadataStore, QueueCursor, Queued, Replace
from lading_storage.records.core import Key, R, Record
from lading_storage.records.jobs import Job

TIME_SLICE: Final = timedelta(minutes=8)
"""How long one run goes on: Cloud Scheduler waits for it, and the lease is longer than both."""

PAGE_SIZE: Final = 100
"""Records in memory at a time."""

LEASE_DURATION: Final = TIME_SLICE + timedelta(minutes=4)

BYTES_FREED: Final = "bytes freed"
RECORDS_FAILED: Final = "records failed"
RACE_LOST: Final = "races lost"

MAX_CONSECUTIVE_FAILURES: Final = 10
"""Records in a row whose step fails before the store is taken to be down, and the slice ends."""

END_OF_TIME: Final = datetime.max.replace(tzinfo=UTC)
"""Until when a queue is read whose records wait for nothing: a clock that was ahead may have written a later time."""

log = logging.getLogger("lading")


@dataclass(slots=True)
class JobReport:
    """What a job did, from its first slice on: how many of what, in words; and what it found wrong, a line each.

    phase, done, phases  what it is at, how many phases are done, and of how many
    """

    counts: Counter[str] = field(default_factory=Counter)
    phase: str = ""
    done: int = 0
    phases: int = 1
    finished: bool = False
    seconds: float = 0.0
    findings: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """The number of records whose step failed: the job is done, but for them."""
        return self.counts[RECORDS_FAILED]

    def as_json(self) -> dict[str, Any]:
        """For a log line, and for metrics made of it."""
        return {
            "finished": self.finished,
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            "failed": self.failed,
            "freed_bytes": self.counts[BYTES_FREED],
            "counts": dict(sorted(self.counts.items())),
            "findings": self.findings,
        }


def _nothing() -> None:
    """Do nothing."""


class Phase(NamedTuple):
    """One kind of record to look at.

    page    returns the records after a cursor, None for the first ones
    handle  deals with one record and returns what it did, in words to be counted; None where it was late and has more
            to do with the same record
    flush   writes what `handle` has put off; called after each page, and before a slice ends
    """

    name: str
    page: Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]
    handle: Callable[[Any], str | None]
    flush: Callable[[], None] = _nothing


class ResumableJob:
    """One job, whose phases a subclass or its maker gives."""

    def __init__(self, name: str, metadata: MetadataStore, clock: Clock) -> None:
        """Keep the job's record in `metadata`, under its name."""
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
        """Whether the slice should stop."""
        return self._stopped or time.monotonic() > self._deadline

    def stop(self) -> None:
        """Let the slice that is running, and any other, end after its step. Any thread may call it."""
        self._stopped = True

    def run(self, phases: Sequence[Phase], limit: timedelta, progress: Callable[[JobReport], None]) -> JobReport | None:
        """Work for so long at the most; answers what was done, or None where somebody else is at work.

        Raises Unavailable where a store is down: then the next run begins this slice again, or where it has stopped.
        """
        began = time.monotonic()
        self._failures = 0
        self.throttle.start()
        self._deadline = began + limit.total_seconds()
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
            self.report.seconds = time.monotonic() - began
            self._release_lease(job)
        if self._is_store_down:
            raise Unavailable(f"{self._failures} records failed in a row: {self._last_error}")
        return self.report

    def _run_phases(self, job: Job, phases: Sequence[Phase], progress: Callable[[JobReport], None]) -> Job:
        """Work from where `job` stands until it is late or all is done; returns where it stands then."""
        names = [phase.name for phase in phases]
        for phase in phases[names.index(job.phase) if job.phase in names else 0 :]:
            self.report.phase, self.report.done, self.report.phases = phase.name, names.index(phase.name), len(names)
            stopped = self._run_phase(phase, _cursor(job) if phase.name == job.phase else None, progress)
            if stopped is not None:
                entry, key = stopped
                return replace(job, phase=phase.name, entry=entry, after=key.id, within=key.repository)
        self.report.finished, self.report.phase = True, ""
        return replace(job, phase="", entry="", after="", within="")

    def _run_phase(
        self, phase: Phase, after: QueueCursor[Any] | None, progress: Callable[[JobReport], None]
    ) -> QueueCursor[Any] | None:
        """Go through a phase from a cursor; returns the cursor from which to go on the next time, or None at its end.

        A key with the id "" stands for the beginning. Of a page at least one record is looked at, however late it is.
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
        """Return the next page of a phase; none where a record cannot be read: that is reported, and others go on.

        Raises Unavailable.
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
        """Do a phase's step with one record; where it fails, report that."""
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
        """Write a record as it is, so that it waits where its fields say: an older release has left another entry."""
        return "records queued anew" if rewrite_if_unchanged(self._metadata, listed) else RACE_LOST

    def _flush(self, phase: Phase) -> None:
        """Write what a phase has put off. Where that fails, its records are left to the next run."""
        try:
            phase.flush()
        except Exception as error:
            self.report.counts[RECORDS_FAILED] += 1
            self._report_failure(phase.name, error)

    def _report_failure(self, where: str, error: Exception) -> None:
        self.report.findings.append(f"{where}: {error or type(error).__name__}")
        if not isinstance(error, StorageError):
            # A defect of ours: the line alone does not lead to it.
            log.exception("a step of a job failed: %s", where)
        # In words: the error itself would keep what its frames have open.
        self._last_error = str(error)

    @property
    def _is_store_down(self) -> bool:
        """Whether so many records failed in a row that the store must be down."""
        return self._failures >= MAX_CONSECUTIVE_FAILURES

    def _acquire_lease(self) -> Job | None:
        """Return the job, when nobody else has it: ours until the lease ends.

        See `_is_held` for leases that count for nothing.
        """
        found = self._metadata.read([self._key])
        self.began_at = now = self._clock(found.read_at)
        job = found[self._key]
        if job is not None and _is_held(job, now):
            return None
        mine = replace(
            job or Job(id=self._key.id, created=now), holder=lease_holders.new_holder(), until=now + LEASE_DURATION
        )
        if not mine.phase:
            mine = replace(mine, created=now, counts="")
        if not try_to_commit(self._metadata, Replace(mine) if job else Create(mine)):
            return None
        return self._metadata.read([self._key])[self._key]

    def _release_lease(self, job: Job) -> None:
        """Let the next slice, or the next job, begin. Whoever took it over meanwhile keeps it."""
        counts = "" if self.report.finished else json.dumps(self.report.counts)
        try_to_commit(self._metadata, Replace(replace(job, holder="", until=None, counts=counts)))


def rewrite_if_unchanged(metadata: MetadataStore, listed: Record, **changes: Any) -> bool:
    """Write a listed record, which came without its content, with some fields changed, as long as it is unchanged."""
    record = metadata.read([listed.key])[listed.key]
    if record is None or record.version != listed.version:
        return False
    return try_to_commit(metadata, Replace(replace(record, **changes)))


def _is_held(job: Job, now: datetime) -> bool:
    """Return whether somebody is at work.

    A lease that ends later than any that is taken now was written by a clock that was ahead; and a process of this
    machine that has ended was killed.
    """
    if job.until is None or not now < job.until <= now + LEASE_DURATION + MAX_CLOCK_SKEW:
        return False
    return not lease_holders.has_ended(job.holder)


def _cursor(job: Job) -> QueueCursor[Any] | None:
    """Return the cursor that a job has kept."""
    return QueueCursor(job.entry, Key(Record, job.after, job.within)) if job.after else None


def _shown(key: Key[Any]) -> str:
    return f"{key.kind.KIND}/{f'{key.repository}@' if key.repository else ''}{key.id}"


def queue_pages(
    metadata: MetadataStore, kind: type[R], name: str, until: Callable[[], datetime]
) -> Callable[[QueueCursor[Any] | None], Sequence[Queued[R]]]:
    """Return the pages of the records of a kind that wait in a queue since a time or longer."""

    def page(after: QueueCursor[Any] | None) -> Sequence[Queued[R]]:
        cursor = None if after is None or not after.key.id else after._replace(key=after.key._replace(kind=kind))
        return metadata.due(kind, name, until(), after=cursor, limit=PAGE_SIZE)

    return page


def as_queue_pages(
    page: Callable[[Key[Any] | None], Sequence[Record]],
) -> Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]:
    """Return pages of records that wait in no queue, as a phase takes them."""
    return lambda after: [Queued("", record) for record in page(after.key if after and after.key.id else None)]


def scan_pages(
    metadata: MetadataStore, kind: type[Record]
) -> Callable[[QueueCursor[Any] | None], Sequence[Queued[Any]]]:
    """Return the pages of all records of a kind that is in no repository."""
    return as_queue_pages(lambda after: metadata.scan(kind, after=after.id if after else "", limit=PAGE_SIZE))
