"""Steps of a collection, each on one record and safe by itself, whatever other processes do at the same time.

A step gets a record that was read first, looks for references to it second, and commits at the version that was read.
A step that loses a race is not repeated: the next collection looks again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from lading.jobs.job_report import BYTES_FREED, RACE_LOST
from lading.jobs.phases import PAGE_SIZE, rewrite_if_unchanged
from lading.registry.batches import in_batches
from lading.registry.content import blob_links
from lading.registry.content.dependencies import is_referenced
from lading.registry.pagination import check_advance, find_all, scan_all
from lading.registry.registry import Registry
from lading.registry.retry import try_to_commit
from lading_storage.commit_size import size_of
from lading_storage.errors import Conflict
from lading_storage.protocols import Create, Delete, Replace, Write
from lading_storage.query import Query
from lading_storage.records.core import HIDDEN, MARKED, Blob, Key, Link, Manifest, Record, Repository, Tag, Upload
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.jobs import LastPull
from lading_storage.records.scans import Facts, LayerScan
from lading_storage.records.trust import Trust

T = TypeVar("T")

HOUR: Final = timedelta(hours=1)
"""The longest that a request lasts on Cloud Run, and longer than a client takes from a HEAD of a blob to the manifest
that names it."""

MIN_TIME_STEP: Final = timedelta(microseconds=1)
"""The minimum time by which one record becomes due after another."""

Tombstone = DeletedManifest | DeletedTag | DeletedLink
TOMBSTONES: Final = (DeletedManifest, DeletedTag, DeletedLink)


@dataclass(frozen=True, slots=True)
class GracePeriods:
    """How long a collection waits.

    Attributes:
        grace: before a link that no manifest names is marked, and before an unused upload session ends.
        undelete: before a tombstone is purged, unless its repository has a longer window.
        marked: between the mark and the sweep of a link.
        ended_session: before the objects of an ended session are removed; a request in progress may still add some.
        events: before an event expires that a topic or webhook has not taken.
        undelete_of: returns the undelete window of a repository: `undelete` or longer. None if all have `undelete`.
        guard: the writes that verify the rules that these periods come from.
    """

    grace: timedelta = timedelta(days=1)
    undelete: timedelta = timedelta(days=7)
    marked: timedelta = HOUR
    ended_session: timedelta = HOUR
    events: timedelta = timedelta(days=7)
    undelete_of: Callable[[str], timedelta] | None = None
    guard: Sequence[Write] = ()

    def extra_undelete(self, repository: str) -> timedelta:
        """Return by how much the undelete window of a repository is longer than `undelete`."""
        if self.undelete_of is None:
            return timedelta(0)
        return max(timedelta(0), self.undelete_of(repository) - self.undelete)


class Sweeper:
    """The steps of a collection.

    Each takes a record whose wait is over, and returns in words what it did, to be counted in the report.
    """

    def __init__(
        self,
        registry: Registry,
        grace_periods: GracePeriods,
        clock: Callable[[], datetime],
        counts: Counter[str],
        is_out_of_time: Callable[[], bool],
    ) -> None:
        """Work on the stores of `registry`.

        Args:
            registry: the registry.
            grace_periods: how long what may be garbage is kept.
            clock: returns the current time.
            counts: the report's counts, for what a step counts beside its result.
            is_out_of_time: whether a long step should stop before its end.
        """
        self._registry = registry
        self._metadata = registry.metadata
        self._grace_periods = grace_periods
        self._clock = clock
        self._counts = counts
        self._is_out_of_time = is_out_of_time
        self._swept: list[Upload] = []

    def expire_session(self, upload: Upload) -> str:
        """End an upload session that was not used for the grace period."""
        ended = replace(upload, cancelled=True, touched=self._clock())
        return self._commit("sessions expired", Replace(ended))

    def purge_tombstone(self, tombstone: Tombstone) -> str:
        """Purge a tombstone whose undelete window is over, but never before the tombstones that need it."""
        since = tombstone.deleted + self._grace_periods.extra_undelete(tombstone.repository)
        if since + self._grace_periods.undelete > self._clock():
            return self._postpone(tombstone, since)
        if (dependent := self._find_dependent(tombstone)) is not None:
            return self._postpone(tombstone, (dependent.kept or dependent.deleted) + MIN_TIME_STEP)
        try:
            self._registry.undelete.purge(tombstone, self._grace_periods.guard)
        except Conflict:
            return RACE_LOST
        return "tombstones purged"

    def mark_link(self, link: Link) -> str:
        """Mark a link that no manifest names; hide it if only deleted manifests name it."""
        marked = replace(link, state=MARKED, since=self._clock())
        return self._keep_if_named(link) or self._commit("links marked", Replace(marked))

    def sweep_link(self, link: Link) -> str:
        """Remove a marked link, unless a manifest names it by now."""
        return self._keep_if_named(link) or self._remove(link)

    def sweep_hidden_link(self, link: DeletedLink) -> str:
        """Remove a hidden link after a manifest that named it was purged, unless another tombstone names it."""
        if is_referenced(self._metadata, link, DeletedManifest):
            return self._commit("links hidden", Replace(replace(link, state=HIDDEN)))
        return self._remove(link)

    def _remove(self, link: Link) -> str:
        """Remove a link, and make its blob unverified: the link may have been its last one."""
        key = Key(Blob, link.id)
        blob = self._metadata.read([key])[key]
        return self._commit("links removed", Delete(link), *([blob_links.unverify_blob(blob)] if blob else []))

    def sweep_blob(self, blob: Blob) -> str:
        """Remove a blob that no repository links.

        The commit gives its object to an ended session, so that a crash cannot leave an object without a record.
        """
        for kind in (Link, DeletedLink):
            if self._metadata.find(Query(kind, {"id": blob.id}, repository=None, limit=1)):
                return self._commit("blobs kept: linked", Replace(replace(blob, state="")))
        key, scan = Key(Upload, blob.object.partition("/")[0]), Key(LayerScan, blob.id)
        found, time = self._metadata.read([key, scan], content=False), self._clock()
        session, packages = found[key], found[scan]
        ended = replace(
            session or Upload(id=key.id, target="", created=time, touched=time),
            published="",
            cancelled=True,
            touched=time,
        )
        writes: list[Write] = [Delete(blob), Replace(ended) if session else Create(ended)]
        writes += [Delete(packages)] if packages else []
        outcome = self._commit("blobs removed", *writes)
        if outcome != RACE_LOST:
            self._counts[BYTES_FREED] += blob.size
        return outcome

    def sweep_session(self, upload: Upload) -> str:
        """Remove all objects of an ended session, except a blob's.

        The session itself is removed with the others of its page (`remove_swept_sessions`).
        """
        after = ""
        while names := self._registry.objects.names(f"{upload.id}/", after=after, limit=100):
            check_advance(after, names)
            for name in names:
                if not self._metadata.find(Query(Blob, {"object": name}, limit=1)):
                    self._registry.objects.delete(name)
                    self._counts["objects removed"] += 1
            after = names[-1]
        self._swept.append(upload)
        return "sessions swept"

    def remove_swept_sessions(self) -> None:
        """Remove the records of swept sessions: many in one commit, or one by one if a request changed one of them."""
        swept, self._swept = self._swept, []
        in_batches(swept, self._remove_sessions, size=lambda upload: size_of([Delete(upload)]))

    def _remove_sessions(self, uploads: Sequence[Upload]) -> None:
        if self._commit("", *map(Delete, uploads)) != RACE_LOST:
            self._counts["sessions removed"] += len(uploads)
            return
        for upload in uploads:
            self._counts[self._commit("sessions removed", Delete(upload))] += 1

    def sweep_repository(self, repository: Repository) -> str | None:
        """Remove a deleted repository, unless something in it can be restored; revive it if it has live contents.

        Returns:
            What was done, or None if there is more to do.
        """
        if any(self._metadata.find(Query(kind, repository=repository.id, limit=1)) for kind in (Manifest, Tag)):
            # By a push that had read the repository before it was deleted.
            live = replace(repository, deleted=None, kept=None, review=self._clock(), looked=False)
            return self._commit("repositories revived", Replace(live))
        if (tombstone := self._find_tombstone(repository.id)) is not None:
            due = (tombstone.kept or tombstone.deleted) + self._grace_periods.undelete
            outcome = "repositories kept: can be restored"
            if due <= self._clock():
                # An earlier phase should have purged it: the next collection removes both.
                return outcome
            return self._commit(outcome, Replace(replace(repository, kept=due - HOUR)))
        return self._remove_repository(repository)

    def _find_tombstone(self, repository: str) -> Tombstone | None:
        """Return any tombstone in a repository, or None."""
        pages: Iterator[Sequence[Tombstone]] = (
            self._metadata.find(Query(kind, repository=repository, limit=1)) for kind in TOMBSTONES
        )
        return next((tombstone for page in pages for tombstone in page), None)

    def _remove_repository(self, repository: Repository) -> str | None:
        """Remove a repository, its tag histories and its records of pulls; return None if there is more to do.

        Every commit is at the version of the repository, which a push that revives it changes.
        """
        for records in self._history_batches(repository.id):
            if self._commit("", Replace(repository), *(Delete(record) for record in records)) == RACE_LOST:
                return RACE_LOST
            if self._is_out_of_time():
                return None
            current = self._metadata.read([repository.key])[repository.key]
            if current is None or not current.deleted:
                return RACE_LOST
            repository = current
        return self._commit("repositories removed", Delete(repository))

    def _history_batches(self, repository: str) -> Iterator[Sequence[Record]]:
        """Yield batches of tag histories, then of what a purge has left beside manifests.

        A history starts with its oldest event, so that the rest of it never has a gap.
        """
        for history in scan_all(self._metadata, TagHistory, repository):
            events = find_all(self._metadata, TagEvent, {"tag": history.id}, repository)
            # Only ids, since a history can be long and the oldest event is listed last. The counter goes with the
            # newest event.
            keys: list[Key[Any]] = [Key(TagEvent, id, repository) for id in [event.id for event in events][::-1]]
            for page in _in_pages([*keys, history.key]):
                found = self._metadata.read(page)
                yield [record for key in page if (record := found[key]) is not None]
        for kind in (LastPull, Facts, Trust):
            yield from _in_pages([*scan_all(self._metadata, kind, repository)])

    def _postpone(self, tombstone: Tombstone, since: datetime) -> str:
        """Count the undelete window of a tombstone from `since`, so that it becomes due when it may be purged."""
        outcome = "deleted things kept: can be restored"
        if tombstone.kept == since:
            return outcome
        return outcome if rewrite_if_unchanged(self._metadata, tombstone, kept=since) else RACE_LOST

    def _find_dependent(self, tombstone: Tombstone) -> DeletedManifest | None:
        """Return a deleted manifest that names what a tombstone stands for, and cannot be restored without it."""
        if isinstance(tombstone, DeletedTag):
            return None
        where = {"blobs" if isinstance(tombstone, DeletedLink) else "children": tombstone.id}
        found = self._metadata.find(Query(DeletedManifest, where, repository=tombstone.repository, limit=1))
        return found[0] if found else None

    def _keep_if_named(self, link: Link) -> str:
        """Keep a link that a live manifest names, hide one that only deleted manifests name; else return ""."""
        if is_referenced(self._metadata, link):
            return self._commit("links kept: named", Replace(replace(link, state="", since=self._clock())))
        return self._hide(link) if is_referenced(self._metadata, link, DeletedManifest) else ""

    def _hide(self, link: Link) -> str:
        """Hide a link that only deleted manifests name."""
        key = Key(DeletedLink, link.id, link.repository)
        return self._commit("links hidden", *blob_links.hide(link, self._metadata.read([key])[key], self._clock()))

    def _commit(self, outcome: str, *writes: Write) -> str:
        """Commit, and return `outcome`, or RACE_LOST if a record has changed meanwhile."""
        return outcome if try_to_commit(self._metadata, *writes) else RACE_LOST


def _in_pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `items` in pages that fit into one commit."""
    return (items[start : start + PAGE_SIZE] for start in range(0, len(items), PAGE_SIZE))
