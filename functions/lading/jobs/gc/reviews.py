"""Reviews: which repositories clean-up looks at in a collection, and when it looks at them again.

A repository waits in a queue since its `review` (lading.registry.repositories says who sets it, and why a look is
taken twice). What is decided by other things than what is in the repositories (policies, in-use reports) is remembered
as a digest: where that changes, all repositories are put into the queue once.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from lading.jobs.runner import PAGE_SIZE, RACE_LOST, Phase, ResumableJob, as_queue_pages, queue_pages
from lading.registry.change_context import Clock
from lading.registry.repositories import is_review_due
from lading.registry.retry import try_to_commit
from lading_storage.errors import StorageError
from lading_storage.protocols import Create, MetadataStore, Replace, Write
from lading_storage.records.core import REVIEW, Key, Repository
from lading_storage.records.jobs import Job

REVIEW_INTERVAL: Final = timedelta(hours=1)
"""Between the two looks: no request lasts longer, so what had read the repository before the first is committed."""

RULES_KEY: Final = Key(Job, "clean-up")
"""The record that keeps the digest of the rules by which all repositories were judged."""


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """What clean-up did in one repository.

    counts   what it counted, in words
    done     whether it was done before it had to stop
    changed  whether it deleted something, or something was changed meanwhile: then it must look again
    next     when a verdict can change next although nothing is pushed, or None
    """

    counts: Mapping[str, int]
    done: bool = True
    changed: bool = False
    next: datetime | None = None


class CleanUp(Protocol):
    """Clean-up of one repository after the other, as collection does it."""

    def rules_digest(self) -> str:
        """Return a digest of all that decides beside what is in a repository."""
        ...

    def run(self, repository: str, stop: Callable[[], bool]) -> ReviewResult:
        """Apply the policies to a repository, until `stop`."""
        ...


class ReviewPhases:
    """The phases of a collection that apply clean-up policies."""

    def __init__(
        self,
        metadata: MetadataStore,
        clean_up: CleanUp,
        job: ResumableJob,
        clock: Clock,
    ) -> None:
        """Look at repositories by `clean_up`, as a part of the job `job`."""
        self._metadata = metadata
        self._clean_up = clean_up
        self._job = job
        self._clock = clock

    def phases(self) -> list[Phase]:
        """Return the phases, in order."""
        return [
            Phase("requeue", as_queue_pages(self._to_requeue), self._requeue),
            # Until the slice began: a repository that is pushed into all the time must not fill it alone.
            Phase(
                "policies", queue_pages(self._metadata, Repository, REVIEW, lambda: self._job.began_at), self._review
            ),
        ]

    def _to_requeue(self, after: Key[Any] | None) -> Sequence[Repository]:
        """Return the next repositories that are to be judged by new rules; none where they were."""
        rules = self._clean_up.rules_digest()
        judged = self._metadata.read([RULES_KEY])[RULES_KEY]
        if judged is not None and judged.rules == rules:
            return ()
        page = self._metadata.scan(Repository, after=after.id if after else "", limit=PAGE_SIZE)
        if not page:
            job = replace(judged or Job(id=RULES_KEY.id, created=self._clock()), rules=rules)
            self._commit("", Replace(job) if judged else Create(job))
        return page

    def _requeue(self, repository: Repository) -> str:
        """Let a repository be looked at."""
        now = self._clock()
        if repository.deleted or is_review_due(repository, now):
            return "repositories due already"
        return self._commit("repositories due by new rules", Replace(replace(repository, review=now, looked=False)))

    def _review(self, repository: Repository) -> str | None:
        """Look at a repository that is due; None where there is more to do."""
        is_second = repository.looked
        if not is_second:
            # Before the look: whatever is committed from now on sees it, and writes the record, too.
            mark = replace(repository, review=self._clock() + REVIEW_INTERVAL, looked=True)
            if self._commit("", Replace(mark)) == RACE_LOST:
                return RACE_LOST
        try:
            look = self._clean_up.run(repository.id, self._job.is_out_of_time)
        except Exception:
            self._schedule_next(repository)
            raise
        self._job.report.counts.update(look.counts)
        if not look.done:
            return None
        if is_second and not look.changed:
            parked = replace(repository, review=look.next, looked=False)
            if self._commit("", Replace(parked)) == RACE_LOST:
                return RACE_LOST
        return "repositories looked at by policies"

    def _schedule_next(self, listed: Repository) -> None:
        """Let the next collection look at a repository in which clean-up failed: not only in an hour."""
        with contextlib.suppress(StorageError):
            repository = self._metadata.read([listed.key])[listed.key]
            if repository is not None and repository.looked:
                due = replace(repository, review=self._job.began_at, looked=False)
                self._commit("", Replace(due))

    def _commit(self, outcome: str, write: Write) -> str:
        return outcome if try_to_commit(self._metadata, write) else RACE_LOST
