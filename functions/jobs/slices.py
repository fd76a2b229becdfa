"""Long jobs in slices: each fits the time that a function has, goes on where the last one stopped, and is alone.

The job's record is the lease and the cursor. Whoever is killed loses one slice, done again when the lease is over;
so every step must be safe to take twice.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from functions.registry.acts import Clock
from storage.errors import Conflict
from storage.protocols import Create, MetadataStore, Replace
from storage.records import Key, Record, Repository
from storage.upkeep import Job

SLICE: Final = timedelta(minutes=8)
"""How long one run goes on: Cloud Scheduler waits for it, and the lease is longer than both."""

PAGE: Final = 100
"""Records in memory at a time."""

LEASE: Final = SLICE + timedelta(minutes=4)

BYTES_FREED: Final = "bytes freed"


@dataclass(slots=True)
class Report:
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

    def as_json(self) -> dict[str, Any]:
        """For a log line, and for metrics made of it."""
        return {
            "finished": self.finished,
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            "freed_bytes": self.counts[BYTES_FREED],
            "counts": dict(sorted(self.counts.items())),
            "findings": self.findings,
        }


class Phase(NamedTuple):
    """One kind of thing to look at: pages of records behind a key, and what is done with one, in words to be counted.

    `handle` answers None where it was late, and has more to do with the same record.
    """

    name: str
    page: Callable[[Key[Any] | None], Sequence[Record]]
    handle: Callable[[Any], str | None]


class Slices:
    """One job, whose phases a subclass or its maker gives."""

    def __init__(self, name: str, metadata: MetadataStore, clock: Clock) -> None:
        """Keep the job's record in `metadata`, under its name."""
        self.report = Report()
        self._key = Key(Job, name)
        self._metadata = metadata
        self._clock = clock
        self._deadline = 0.0

    def is_late(self) -> bool:
        """Whether the slice should stop."""
        return time.monotonic() > self._deadline

    def run(self, phases: Sequence[Phase], limit: timedelta, progress: Callable[[Report], None]) -> Report | None:
        """Work for so long at the most; answers what was done, or None where somebody else is at work.

        Raises Unavailable where a store fails: then the next run begins this slice again.
        """
        began = time.monotonic()
        self._deadline = began + limit.total_seconds()
        job = self._take()
        if job is None:
            return None
        self.report.counts.clear()
        self.report.counts.update(json.loads(job.counts or "{}"))
        self.report.findings.clear()
        self.report.finished = False
        try:
            job = self._slice(job, phases, progress)
        finally:
            self.report.seconds = time.monotonic() - began
            self._give_back(job)
        return self.report

    def _slice(self, job: Job, phases: Sequence[Phase], progress: Callable[[Report], None]) -> Job:
        """Work from where `job` stands until it is late or all is done; answers where it stands then."""
        names = [phase.name for phase in phases]
        for phase in phases[names.index(job.phase) if job.phase in names else 0 :]:
            self.report.phase, self.report.done, self.report.phases = phase.name, names.index(phase.name), len(names)
            after = Key(Record, job.after, job.within) if phase.name == job.phase and job.after else None
            stopped = self._work(phase, after, progress)
            if stopped is not None:
                return replace(job, phase=phase.name, after=stopped.id, within=stopped.repository)
        self.report.finished, self.report.phase = True, ""
        return replace(job, phase="", after="", within="")

    def _work(self, phase: Phase, after: Key[Any] | None, progress: Callable[[Report], None]) -> Key[Any] | None:
        """Go through a phase from behind `after`; answers behind what to go on the next time, or None at its end.

        A key with the id "" stands for the beginning. Of a page at least one record is looked at, however late it is.
        """
        while page := phase.page(after):
            for record in page:
                outcome = phase.handle(record)
                if outcome is None:
                    return after or Key(Record, "")
                self.report.counts[outcome] += 1
                after = record.key
                if self.is_late():
                    return after
            progress(self.report)
        return None

    def _take(self) -> Job | None:
        """The job, when nobody else has it: ours until the lease ends."""
        job, now = self._metadata.read([self._key])[self._key], self._clock()
        if job is not None and job.until is not None and job.until > now:
            return None
        mine = replace(job or Job(id=self._key.id, created=now), holder=secrets.token_hex(8), until=now + LEASE)
        if not mine.phase:
            mine = replace(mine, created=now, counts="")
        try:
            self._metadata.commit([Replace(mine) if job else Create(mine)])
        except Conflict:
            return None
        return self._metadata.read([self._key])[self._key]

    def _give_back(self, job: Job) -> None:
        """Let the next slice, or the next job, begin. Whoever took it over meanwhile keeps it."""
        counts = "" if self.report.finished else json.dumps(self.report.counts)
        try:
            self._metadata.commit([Replace(replace(job, holder="", until=None, counts=counts))])
        except Conflict:
            return


def behind(kind: type[Record], after: Key[Any] | None) -> Key[Any] | None:
    """The place of `after` as a key of a kind; of a cursor only the place is kept."""
    return Key(kind, after.id, after.repository) if after is not None and after.id else None


def scanned(metadata: MetadataStore, kind: type[Record]) -> Callable[[Key[Any] | None], Sequence[Record]]:
    """Pages of all records of a kind that is in no repository."""
    return lambda after: metadata.scan(kind, after=after.id if after else "", limit=PAGE)


def walked(metadata: MetadataStore, kind: type[Record]) -> Callable[[Key[Any] | None], Sequence[Record]]:
    """Pages of all records of a kind, one repository after the other."""

    def page(after: Key[Any] | None) -> Sequence[Record]:
        repository, id = (after.repository, after.id) if after else ("", "")
        while True:
            if repository and (found := metadata.scan(kind, repository, after=id, limit=PAGE)):
                return found
            following = metadata.scan(Repository, after=repository, limit=1)
            if not following:
                return ()
            repository, id = following[0].id, ""

    return page
