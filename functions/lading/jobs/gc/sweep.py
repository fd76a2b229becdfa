"""What a collection does with one record: each step is safe by itself, whatever happens beside it.

A record is read first, what names it is looked for second, and the commit is at the version that was read. A step that
lost a race is not repeated: the next collection looks again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from lading.jobs.runner import BYTES_FREED, PAGE_SIZE, RACE_LOST, rewrite_if_unchanged
from lading.registry.batches import in_batches
from lading.registry.content import blob_links
from lading.registry.content.dependencies import is_referenced
from lading.registry.pagination import check_advance, find_all, scan_all
from lading.registry.registry import Registry
from lading.registry.retry import try_to_commit
from lading_storage.commit_size import size_of
from lading_storage.errors import Conflict
from lading_storage.protocols import Create, Delete, Replace, Write
from lading_storage.records.core import HIDDEN, MARKED, Blob, Key, Link, Manifest, Record, Repository, Tag, Upload
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag, TagEvent, TagHistory
from lading_storage.records.jobs import LastPull

T = TypeVar("T")

HOUR: Final = timedelta(hours=1)
"""The longest that a request lasts on Cloud Run, and more than a client takes from asking for a blob to naming it."""

MIN_TIME_STEP: Final = timedelta(microseconds=1)
"""The least by which one record comes due after another one."""

Tombstone = DeletedManifest | DeletedTag | DeletedLink
TOMBSTONES: Final = (DeletedManifest, DeletedTag, DeletedLink)


@dataclass(frozen=True, slots=True)
class GracePeriods:
    """How long a collection waits.

    grace        before a link that no manifest names is condemned, and a session that nobody goes on with ends
    undelete     before what was deleted is forgotten, where nothing longer is asked for
    condemned    between the two looks at a link
    ended        before what an ended session left is removed: a request that has not ended yet may still add to it
    undelete_of  the wait before what was deleted in a repository is forgotten: `undelete` or longer; None for that
    """

    grace: timedelta = timedelta(days=1)
    undelete: timedelta = timedelta(days=7)
    marked: timedelta = HOUR
    ended_session: timedelta = HOUR
    undelete_of: Callable[[str], timedelta] | None = None

    def extra_undelete(self, repository: str) -> timedelta:
        """Return by how much the wait in a repository is longer than `undelete`."""
        if self.undelete_of is None:
            return timedelta(0)
        return max(timedelta(0), self.undelete_of(repository) - self.undelete)


class Sweeper:
    """The steps; each returns in words what it did, to be counted. It is given what has waited for long enough."""

    def __init__(
        self,
        registry: Registry,
        grace_periods: GracePeriods,
        clock: Callable[[], datetime],
        counts: Counter[str],
        is_out_of_time: Callable[[], bool],
    ) -> None:
        """Work on the stores of `registry`; `is_out_of_time` says when to stop in the middle of what is long."""
        self._registry = registry
        self._metadata = registry.metadata
        self._grace_periods = grace_periods
        self._clock = clock
        self._counts = counts
        self._is_out_of_time = is_out_of_time
        self._swept: list[Upload] = []

    def expire_session(self, upload: Upload) -> str:
        """End a session that nobody goes on with."""
        ended = replace(upload, cancelled=True, touched=self._clock())
        return self._commit("sessions expired", Replace(ended))

    def purge_tombstone(self, thing: Tombstone) -> str:
        """Forget what has been deleted for long enough; nothing before what needs it."""
        counted = thing.deleted + self._grace_periods.extra_undelete(thing.repository)
        if counted + self._grace_periods.undelete > self._clock():
            return self._postpone(thing, counted)
        if (wanting := self._find_dependent(thing)) is not None:
            return self._postpone(thing, (wanting.kept or wanting.deleted) + MIN_TIME_STEP)
        try:
            self._registry.undelete.purge(thing)
        except Conflict:
            return RACE_LOST
        return "deleted things forgotten"

    def mark_link(self, link: Link) -> str:
        """Condemn a link that no manifest has named for long enough; hide it where a deleted one does."""
        condemned = replace(link, state=MARKED, since=self._clock())
        return self._keep_if_named(link) or self._commit("links condemned", Replace(condemned))

    def sweep_link(self, link: Link) -> str:
        """Remove a link that is condemned for long enough, unless a manifest names it by now."""
        return self._keep_if_named(link) or self._remove(link)

    def sweep_hidden_link(self, link: DeletedLink) -> str:
        """Remove a hidden link, of whose deleted manifests one is forgotten, unless another one names it."""
        if is_referenced(self._metadata, link, DeletedManifest):
            return self._commit("links hidden", Replace(replace(link, state=HIDDEN)))
        return self._remove(link)

    def _remove(self, link: Link) -> str:
        """Remove a link, perhaps the last one of its blob."""
        key = Key(Blob, link.id)
        blob = self._metadata.read([key])[key]
        return self._commit("links removed", Delete(link), *([blob_links.unverify_blob(blob)] if blob else []))

    def sweep_blob(self, blob: Blob) -> str:
        """Give up a blob that no repository links. An ended session takes its object along: no crash can lose it."""
        for kind in (Link, DeletedLink):
            if self._metadata.find(kind, {"id": blob.id}, repository=None, limit=1):
                return self._commit("blobs kept: linked", Replace(replace(blob, state="")))
        key = Key(Upload, blob.object.partition("/")[0])
        session, time = self._metadata.read([key])[key], self._clock()
        ended = replace(
            session or Upload(id=key.id, target="", created=time, touched=time),
            published="",
            cancelled=True,
            touched=time,
        )
        outcome = self._commit("blobs removed", Delete(blob), Replace(ended) if session else Create(ended))
        if outcome != RACE_LOST:
            self._counts[BYTES_FREED] += blob.size
        return outcome

    def sweep_session(self, upload: Upload) -> str:
        """Remove what a session left: all its objects but a blob's. The session itself goes with others of its page."""
        after = ""
        while names := self._registry.objects.names(f"{upload.id}/", after=after, limit=100):
            check_advance(after, names)
            for name in names:
                if not self._metadata.find(Blob, {"object": name}, limit=1):
                    self._registry.objects.delete(name)
                    self._counts["objects removed"] += 1
            after = names[-1]
        self._swept.append(upload)
        return "sessions swept"

    def remove_swept_sessions(self) -> None:
        """Remove the sessions that were swept: many in one commit, or one by one where another request changed one."""
        swept, self._swept = self._swept, []
        in_batches(swept, self._remove_sessions, size=lambda upload: size_of([Delete(upload)]))

    def _remove_sessions(self, uploads: Sequence[Upload]) -> None:
        if self._commit("", *map(Delete, uploads)) != RACE_LOST:
            self._counts["sessions removed"] += len(uploads)
            return
        for upload in uploads:
            self._counts[self._commit("sessions removed", Delete(upload))] += 1

    def sweep_repository(self, repository: Repository) -> str | None:
        """Do what is due for a repository that was deleted: it goes, or lives where something lives in it."""
        if any(self._metadata.scan(kind, repository.id, limit=1) for kind in (Manifest, Tag)):
            # A push that had read the repository before it was deleted.
            live = replace(repository, deleted=None, kept=None, review=self._clock(), looked=False)
            return self._commit("repositories live again", Replace(live))
        if (thing := self._find_tombstone(repository.id)) is not None:
            due, outcome = (
                (thing.kept or thing.deleted) + self._grace_periods.undelete,
                "repositories kept: can be restored",
            )
            if due <= self._clock():
                # It should have gone just now: the next collection takes both.
                return outcome
            return self._commit(outcome, Replace(replace(repository, kept=due - HOUR)))
        return self._remove_repository(repository)

    def _find_tombstone(self, repository: str) -> Tombstone | None:
        """Return something of a repository that was deleted and can be restored, if there is anything."""
        things: Iterator[Sequence[Tombstone]] = (self._metadata.scan(kind, repository, limit=1) for kind in TOMBSTONES)
        return next((thing for some in things for thing in some), None)

    def _remove_repository(self, repository: Repository) -> str | None:
        """Remove a repository and its past. Every commit is at its version, which a push changes that makes it live."""
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
        """Yield histories, each from its oldest move on, so that what is left of it has no gap; then pulls."""
        for history in scan_all(self._metadata, TagHistory, repository):
            moves = find_all(self._metadata, TagEvent, {"tag": history.id}, repository)
            # Ids alone, since a history can be long, and the oldest move comes last; the counter goes with the newest.
            keys: list[Key[Any]] = [Key(TagEvent, id, repository) for id in [move.id for move in moves][::-1]]
            for some in _in_pages([*keys, history.key]):
                found = self._metadata.read(some)
                yield [record for key in some if (record := found[key]) is not None]
        yield from _in_pages([*scan_all(self._metadata, LastPull, repository)])

    def _postpone(self, thing: Tombstone, since: datetime) -> str:
        """Let the time of a deleted thing count from `since`, so that it comes due when it may be forgotten."""
        outcome = "deleted things kept: can be restored"
        if thing.kept == since:
            return outcome
        return outcome if rewrite_if_unchanged(self._metadata, thing, kept=since) else RACE_LOST

    def _find_dependent(self, thing: Tombstone) -> DeletedManifest | None:
        """Return a deleted manifest that needs another deleted thing: neither can be restored without the other."""
        if isinstance(thing, DeletedTag):
            return None
        where = {"blobs" if isinstance(thing, DeletedLink) else "children": thing.id}
        found = self._metadata.find(DeletedManifest, where, repository=thing.repository, limit=1)
        return found[0] if found else None

    def _keep_if_named(self, link: Link) -> str:
        """Keep a link that a live manifest names, and hide one that only deleted ones name; return "" for any other."""
        if is_referenced(self._metadata, link):
            return self._commit("links kept: named", Replace(replace(link, state="", since=self._clock())))
        return self._hide(link) if is_referenced(self._metadata, link, DeletedManifest) else ""

    def _hide(self, link: Link) -> str:
        """Hide a link that only deleted manifests name."""
        key = Key(DeletedLink, link.id, link.repository)
        return self._commit("links hidden", *blob_links.hide(link, self._metadata.read([key])[key], self._clock()))

    def _commit(self, outcome: str, *writes: Write) -> str:
        """`outcome`, or LOST where something changed meanwhile."""
        return outcome if try_to_commit(self._metadata, *writes) else RACE_LOST


def _in_pages(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `items` in pages: as many as one commit takes."""
    return (items[start : start + PAGE_SIZE] for start in range(0, len(items), PAGE_SIZE))
