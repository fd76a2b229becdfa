"""Collecting garbage: what nobody can reach any more goes, and nothing else, while the registry serves on.

    sessions   nobody went on with it for --grace          ─▶ ended
    policies   the clean-up policies delete it             ─▶ deleted, and can be restored
    deleted    its time to be restored is over             ─▶ forgotten; what it named is loose
    links      loose for --grace, and no manifest names it ─▶ condemned: pushes and mounts see it no more
    condemned  for an hour, and still no manifest names it ─▶ removed; its blob is loose
    blobs      loose, and no repository links it           ─▶ its record becomes an ended session, with its object
    objects    a session that ended an hour ago            ─▶ its objects go, but for a published one; then the session

Nothing is locked, and nobody waits. Each step reads a record, looks for what names it second, and writes at the version
that was read: whoever came in between touched the record, so the step fails, and is taken again the next time. A client
that was told that a blob is there has an hour at least to push the manifest that names it.

What may be garbage says so itself (registry.links), so a collection costs as much as there is garbage, however large
the registry. It goes on where the last slice stopped; two at once are of no use, and do no harm.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from functions.jobs.reaping import Reaper, Waits
from functions.registry.acts import Clock, now
from functions.registry.registry import Registry
from storage.errors import Conflict
from storage.protocols import Create, MetadataStore, Replace
from storage.records import CONDEMNED, LOOSE, Blob, Key, Link, Record, Repository, Upload
from storage.upkeep import Job

SLICE: Final = timedelta(minutes=8)
"""How long one run goes on: Cloud Scheduler waits for it, and the lease is longer than both."""

LEASE: Final = SLICE + timedelta(minutes=4)
PAGE: Final = 100

PHASES: Final = ("sessions", "policies", "deleted", "links", "condemned", "blobs", "objects")

JOB: Final = Key(Job, "collect")

CleanUp = Callable[[str], Mapping[str, int]]
"""Applies the clean-up policies to one repository; answers what it counted."""


@dataclass(slots=True)
class Report:
    """What a collection did, from its first slice on: how many of what, in words, and the bytes that it freed."""

    counts: Counter[str] = field(default_factory=Counter)
    phase: str = ""
    finished: bool = False
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For a log line, and for metrics made of it."""
        return {
            "finished": self.finished,
            "phase": self.phase,
            "seconds": round(self.seconds, 1),
            "freed_bytes": self.counts["bytes freed"],
            "counts": dict(sorted(self.counts.items())),
        }


class Phase(NamedTuple):
    """One kind of thing to look at: pages of records behind a key, and what is done with one, in words to be counted.

    `handle` answers None where it was late, and has more to do with the same record.
    """

    name: str
    page: Callable[[Key[Any] | None], Sequence[Record]]
    handle: Callable[[Any], str | None]


class Collector:
    """Collects the garbage of one registry, in slices."""

    def __init__(self, registry: Registry, waits: Waits, clean_up: CleanUp | None = None, clock: Clock = now) -> None:
        """Collect in the stores of `registry`."""
        self._metadata: MetadataStore = registry.metadata
        self._clean_up = clean_up
        self._clock = clock
        self._deadline = 0.0
        self._counts: Counter[str] = Counter()
        self._reaper = Reaper(registry, waits, clock, self._counts, self._is_late)

    def run(self, limit: timedelta = SLICE, progress: Callable[[Report], None] = lambda report: None) -> Report | None:
        """Work for so long at the most; answers what was done, or None where somebody else is at work.

        Raises Unavailable where a store fails: then the next run begins this slice again.
        """
        began = time.monotonic()
        self._deadline = began + limit.total_seconds()
        job = self._take()
        if job is None:
            return None
        self._counts.clear()
        self._counts.update(json.loads(job.counts or "{}"))
        report = Report(self._counts, job.phase)
        try:
            job = self._slice(job, report, progress)
        finally:
            report.seconds = time.monotonic() - began
            self._give_back(job, report)
        return report

    def _slice(self, job: Job, report: Report, progress: Callable[[Report], None]) -> Job:
        """Work from where `job` stands until it is late or all is done; answers where it stands then."""
        phases = self._phases()
        names = [phase.name for phase in phases]
        for phase in phases[names.index(job.phase) if job.phase in names else 0 :]:
            report.phase = phase.name
            after = _cursor(job) if phase.name == job.phase else None
            stopped = self._work(phase, after, lambda: progress(report))
            if stopped is not None:
                return replace(job, phase=phase.name, after=stopped.id, within=stopped.repository)
        report.finished, report.phase = True, ""
        return replace(job, phase="", after="", within="")

    def _phases(self) -> list[Phase]:
        reaper = self._reaper
        cleaning = [Phase("policies", self._repositories, self._apply_policies)] if self._clean_up else []
        return [
            Phase("sessions", self._sessions, reaper.expire),
            *cleaning,
            Phase("deleted", self._repositories, reaper.forget),
            Phase("links", lambda after: self._links(LOOSE, after), reaper.condemn),
            Phase("condemned", lambda after: self._links(CONDEMNED, after), reaper.unlink),
            Phase("blobs", self._blobs, reaper.drop),
            Phase("objects", self._sessions, reaper.sweep),
        ]

    def _work(self, phase: Phase, after: Key[Any] | None, progress: Callable[[], None]) -> Key[Any] | None:
        """Go through a phase from behind `after`; answers behind what to go on the next time, or None at its end.

        A key with the id "" stands for the beginning.
        """
        while page := phase.page(after):
            for record in page:
                outcome = phase.handle(record)
                if outcome is None:
                    return after or Key(type(record), "")
                self._counts[outcome] += 1
                after = record.key
                if self._is_late():
                    return after
            progress()
        return None

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    def _apply_policies(self, repository: Repository) -> str:
        assert self._clean_up is not None
        self._counts.update(self._clean_up(repository.id))
        return "repositories cleaned up"

    def _sessions(self, after: Key[Any] | None) -> Sequence[Upload]:
        return self._metadata.scan(Upload, after=after.id if after else "", limit=PAGE)

    def _repositories(self, after: Key[Any] | None) -> Sequence[Repository]:
        return self._metadata.scan(Repository, after=after.id if after else "", limit=PAGE)

    def _links(self, state: str, after: Key[Any] | None) -> Sequence[Link]:
        return self._metadata.find(Link, {"state": state}, repository=None, after=after, limit=PAGE)

    def _blobs(self, after: Key[Any] | None) -> Sequence[Blob]:
        return self._metadata.find(Blob, {"state": LOOSE}, after=after, limit=PAGE)

    def _take(self) -> Job | None:
        """The job, when nobody else has it: ours until the lease ends."""
        job, time = self._metadata.read([JOB])[JOB], self._clock()
        if job is not None and job.until is not None and job.until > time:
            return None
        mine = replace(job or Job(id=JOB.id, created=time), holder=secrets.token_hex(8), until=time + LEASE)
        if not mine.phase:
            mine = replace(mine, created=time, counts="")
        try:
            self._metadata.commit([Replace(mine) if job else Create(mine)])
        except Conflict:
            return None
        return self._metadata.read([JOB])[JOB]

    def _give_back(self, job: Job, report: Report) -> None:
        """Let the next slice, or the next collection, begin. Whoever took the job over meanwhile keeps it."""
        counts = "" if report.finished else json.dumps(report.counts)
        try:
            self._metadata.commit([Replace(replace(job, holder="", until=None, counts=counts))])
        except Conflict:
            return


def _cursor(job: Job) -> Key[Any] | None:
    """Behind what the job goes on; the kind of a cursor does not matter, only its place."""
    if not job.after:
        return None
    kind: type[Record] = Blob if job.phase == "blobs" else Link
    return Key(kind, job.after, job.within)
