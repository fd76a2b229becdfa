"""Reviews: which repositories a collection applies clean-up policies to, and when it does so again.

A repository is in a queue from its `review` time on (lading.registry.repositories says what sets it, and why there are
two reviews). What decides beside the contents of repositories (policies, in-use reports) is stored as a digest; when
that changes, all repositories are queued once.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from lading.jobs.job_report import RACE_LOST
from lading.jobs.phases import PAGE_SIZE, Phase, as_queue_pages, queue_pages
from lading.jobs.runner import ResumableJob
from lading.registry.change_context import Clock
from lading.registry.repositories import is_review_due
from lading.registry.retry import try_to_commit
from lading_storage.errors import StorageError
from lading_storage.protocols import Create, MetadataStore, Replace, Write
from lading_storage.query import Query
from lading_storage.records.core import REVIEW, Key, Repository
from lading_storage.records.jobs import Job

REVIEW_INTERVAL: Final = timedelta(hours=1)
"""Time between the two reviews. No request lasts longer, so a request that read the repository before the first one
has been committed."""

RULES_KEY: Final = Key(Job, "clean-up")
"""The record that stores the digest of the rules that all repositories were queued for."""


@dataclass(frozen=True, slots=True)
class ReviewResult:
    """What clean-up did in one repository.

    Attributes:
        counts: how many of what, in words.
        done: whether it finished before it had to stop.
        changed: whether it deleted something, or something changed meanwhile; then another review is needed.
        next: when a decision can change next although nothing is pushed, or None.
    """

    counts: Mapping[str, int]
    done: bool = True
    changed: bool = False
    next: datetime | None = None


class CleanUp(Protocol):
    """Clean-up of one repository at a time, as a collection uses it."""

    def rules_digest(self) -> str:
        """Return a digest of all that decides beside the contents of a repository."""
        ...

    def run(self, repository: str, stop: Callable[[], bool]) -> ReviewResult:
        """Apply the policies to a repository, until `stop` returns True."""
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
        """Review repositories with `clean_up`, as a part of `job`."""
        self._metadata = metadata
        self._clean_up = clean_up
        self._job = job
        self._clock = clock

    def phases(self) -> list[Phase]:
        """Return the phases, in order."""
        return [
            Phase("requeue", as_queue_pages(self._to_requeue), self._requeue),
            # Up to the start of the slice: a repository with constant pushes must not take all of it.
            Phase(
                "policies", queue_pages(self._metadata, Repository, REVIEW, lambda: self._job.began_at), self._review
            ),
        ]

    def _to_requeue(self, after: Key[Any] | None) -> Sequence[Repository]:
        """Return the next page of repositories to queue for changed rules; an empty one if they have not changed."""
        rules = self._clean_up.rules_digest()
        queued = self._metadata.read([RULES_KEY])[RULES_KEY]
        if queued is not None and queued.rules == rules:
            return ()
        page = self._metadata.find(Query(Repository, after=after.id if after else "", limit=PAGE_SIZE))
        if not page:
            job = replace(queued or Job(id=RULES_KEY.id, created=self._clock()), rules=rules)
            self._commit("", Replace(job) if queued else Create(job))
        return page

    def _requeue(self, repository: Repository) -> str:
        """Make a repository due for a review now."""
        now = self._clock()
        if repository.deleted or is_review_due(repository, now):
            return "repositories due already"
        return self._commit("repositories due by new rules", Replace(replace(repository, review=now, looked=False)))

    def _review(self, repository: Repository) -> str | None:
        """Review a repository that is due; return None if there is more to do."""
        is_second = repository.looked
        if not is_second:
            # Before the review: any change that is committed from now on reads this, and writes the record as well.
            first = replace(repository, review=self._clock() + REVIEW_INTERVAL, looked=True)
            if self._commit("", Replace(first)) == RACE_LOST:
                return RACE_LOST
        try:
            result = self._clean_up.run(repository.id, self._job.is_out_of_time)
        except Exception:
            self._schedule_next(repository)
            raise
        self._job.report.counts.update(result.counts)
        if not result.done:
            return None
        if is_second and not result.changed:
            reviewed = replace(repository, review=result.next, looked=False)
            if self._commit("", Replace(reviewed)) == RACE_LOST:
                return RACE_LOST
        return "repositories looked at by policies"

    def _schedule_next(self, listed: Repository) -> None:
        """Make a repository in which clean-up failed due for the next collection, not only in an hour."""
        with contextlib.suppress(StorageError):
            repository = self._metadata.read([listed.key])[listed.key]
            if repository is not None and repository.looked:
                due = replace(repository, review=self._job.began_at, looked=False)
                self._commit("", Replace(due))

    def _commit(self, outcome: str, write: Write) -> str:
        return outcome if try_to_commit(self._metadata, write) else RACE_LOST
