"""What a collection does with one record: each step is safe by itself, whatever happens beside it.

A record is read first, what names it is looked for second, and the commit is at the version that was read. A step that
lost a race is not repeated: the next collection looks again.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from functions.jobs.slices import BYTES_FREED, PAGE
from functions.registry import links
from functions.registry.acts import Clock
from functions.registry.pages import find_all, scan_all
from functions.registry.registry import Registry
from storage.errors import Conflict
from storage.past import DeletedLink, DeletedManifest, DeletedTag, History, Move
from storage.protocols import Create, Delete, Replace, Write
from storage.records import CONDEMNED, Blob, Key, Link, Manifest, Record, Repository, Tag, Upload
from storage.upkeep import Pull

HOUR: Final = timedelta(hours=1)
"""The longest that a request lasts on Cloud Run, and more than a client takes from asking for a blob to naming it."""

LOST: Final = "races lost"

DELETED: Final = (DeletedManifest, DeletedTag, DeletedLink)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a collection waits.

    grace      before a link that no manifest names is condemned, and a session that nobody goes on with ends
    undelete   before what was deleted is forgotten
    condemned  between the two looks at a link
    ended      before what an ended session left is removed: a request that has not ended yet may still add to it
    """

    grace: timedelta = timedelta(days=1)
    undelete: timedelta = timedelta(days=7)
    condemned: timedelta = HOUR
    ended: timedelta = HOUR


class Reaper:
    """The steps; each answers in words what it did, to be counted."""

    def __init__(
        self, registry: Registry, waits: Waits, clock: Clock, counts: Counter[str], is_late: Callable[[], bool]
    ) -> None:
        """Work on the stores of `registry`; `is_late` says when to stop in the middle of what is long."""
        self._registry = registry
        self._metadata = registry.metadata
        self._waits = waits
        self._clock = clock
        self._counts = counts
        self._is_late = is_late

    def expire(self, upload: Upload) -> str:
        """End a session that nobody goes on with."""
        if upload.published or upload.cancelled:
            return "sessions ended already"
        if not self._past(upload.touched, self._waits.grace):
            return "sessions kept: in use"
        ended = replace(upload, cancelled=True, touched=self._clock())
        return self._commit("sessions expired", Replace(ended))

    def forget(self, thing: DeletedManifest | DeletedTag | DeletedLink) -> str:
        """Forget what has been deleted for long enough; nothing before what needs it."""
        if not self._past(thing.deleted, self._waits.undelete) or self._is_wanted(thing):
            return "deleted things kept: can be restored"
        try:
            self._registry.undelete.forget(thing)
        except Conflict:
            return LOST
        return "deleted things forgotten"

    def condemn(self, link: Link) -> str:
        """Condemn a link that no manifest has named for long enough."""
        if self._is_named(link):
            return self._commit("links kept: named", Replace(replace(link, state="", since=self._clock())))
        if not self._past(link.since, self._waits.grace):
            return "links kept: fresh"
        return self._commit("links condemned", Replace(replace(link, state=CONDEMNED, since=self._clock())))

    def unlink(self, link: Link) -> str:
        """Remove a link that is condemned for long enough, unless a manifest names it by now."""
        if self._is_named(link):
            return self._commit("links kept: named", Replace(replace(link, state="", since=self._clock())))
        if not self._past(link.since, self._waits.condemned):
            return "links kept: condemned"
        key = Key(Blob, link.id)
        blob = self._metadata.read([key])[key]
        return self._commit("links removed", Delete(link), *([links.suspected(blob)] if blob else []))

    def drop(self, blob: Blob) -> str:
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
        if outcome != LOST:
            self._counts[BYTES_FREED] += blob.size
        return outcome

    def sweep(self, upload: Upload) -> str:
        """Remove what a session left that ended long enough ago: all its objects but a blob's, then itself."""
        if not (upload.published or upload.cancelled) or not self._past(upload.touched, self._waits.ended):
            return "sessions kept"
        after = ""
        while names := self._registry.objects.names(f"{upload.id}/", after=after, limit=100):
            for name in names:
                if not self._metadata.find(Blob, {"object": name}, limit=1):
                    self._registry.objects.delete(name)
                    self._counts["objects removed"] += 1
            after = names[-1]
        return self._commit("sessions removed", Delete(upload))

    def settle(self, repository: Repository) -> str | None:
        """What is due for a repository that was deleted: to be gone, or to live where something lives in it."""
        if not repository.deleted or not self._past(repository.deleted, HOUR):
            return "repositories looked at"
        if any(self._metadata.scan(kind, repository.id, limit=1) for kind in (Manifest, Tag)):
            # A push that had read the repository before it was deleted.
            return self._commit("repositories live again", Replace(replace(repository, deleted=None)))
        if any(self._metadata.scan(kind, repository.id, limit=1) for kind in DELETED):
            return "repositories kept: can be restored"
        return self._erase(repository)

    def _erase(self, repository: Repository) -> str | None:
        """Remove a repository and its past. Every commit is at its version, which a push changes that makes it live."""
        for records in self._past_of(repository.id):
            if self._commit("", Replace(repository), *(Delete(record) for record in records)) == LOST:
                return LOST
            if self._is_late():
                return None
            current = self._metadata.read([repository.key])[repository.key]
            if current is None or not current.deleted:
                return LOST
            repository = current
        return self._commit("repositories removed", Delete(repository))

    def _past_of(self, repository: str) -> Iterator[Sequence[Record]]:
        """Histories, each from its oldest move on, so that what is left of it has no gap; then pulls."""
        for history in scan_all(self._metadata, History, repository):
            moves = find_all(self._metadata, Move, {"tag": history.id}, repository)
            yield from _pages([*reversed([*moves]), history])
        yield from _pages([*scan_all(self._metadata, Pull, repository)])

    def _is_wanted(self, thing: DeletedManifest | DeletedTag | DeletedLink) -> bool:
        """Whether a deleted manifest needs another deleted thing: then neither can be restored without the other."""
        if isinstance(thing, DeletedTag):
            return False
        where = {"blobs" if isinstance(thing, DeletedLink) else "children": thing.id}
        return bool(self._metadata.find(DeletedManifest, where, repository=thing.repository, limit=1))

    def _is_named(self, link: Link) -> bool:
        """Whether a manifest names a link: a live one, or one that can be restored."""
        return any(
            self._metadata.find(kind, {"blobs": link.id}, repository=link.repository, limit=1)
            for kind in (Manifest, DeletedManifest)
        )

    def _past(self, since: Any, wait: timedelta) -> bool:
        return since is None or since + wait <= self._clock()

    def _commit(self, outcome: str, *writes: Write) -> str:
        """`outcome`, or LOST where something changed meanwhile."""
        try:
            self._metadata.commit(writes)
        except Conflict:
            return LOST
        return outcome


def _pages(records: Sequence[Record]) -> Iterator[Sequence[Record]]:
    """`records` in pages: as many as one commit takes."""
    return (records[start : start + PAGE] for start in range(0, len(records), PAGE))
