"""Adoption: what an older release wrote gets what this one relies on.

An older release writes records without an entry in a queue, and leaves links as they are whose manifest it deletes.
Collection would never look at these. So where the layout was raised (MetadataStore.schema_raised), a collection walks
all records once, and once more when no older release can write any longer; later ones only read that this was done.
Until then nothing is lost: what has no entry is kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from lading.jobs.repository_scan import RepositoryScan
from lading.jobs.runner import RACE_LOST, JobReport, Phase, as_queue_pages, rewrite_if_unchanged, scan_pages
from lading.registry.change_context import Clock
from lading.registry.content.dependencies import is_referenced
from lading.registry.pagination import find_all
from lading.registry.retry import try_to_commit
from lading_storage.protocols import MAX_RELEASE_OVERLAP, Create, MetadataStore, Replace
from lading_storage.records.core import (
    HIDDEN,
    HIDDEN_UNVERIFIED,
    UNVERIFIED,
    Blob,
    Key,
    Link,
    Record,
    Repository,
    Upload,
)
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag
from lading_storage.records.jobs import Job

MIGRATION_KEY: Final = Key(Job, "adopt")
"""The record that keeps, as its rules, since when all records are adopted."""

TOP_LEVEL_KINDS: Final = (Upload, Blob, Repository)
IN_REPOSITORY_KINDS: Final = (Link, DeletedManifest, DeletedTag, DeletedLink)


class Migration:
    """The phases of a collection that adopt records."""

    def __init__(self, metadata: MetadataStore, clock: Clock, report: JobReport) -> None:
        """Adopt what is in `metadata`; `report` is that of the collection."""
        self._metadata = metadata
        self._clock = clock
        self._report = report

    def phases(self) -> list[Phase]:
        """Return the phases, in order: none where nothing is left to be adopted."""
        raised = self._metadata.schema_raised()
        if raised is None:
            return []
        # Nobody of an older release writes after the overlap: the second round, which begins then, is the last one.
        turn = "last" if self._clock() > raised + MAX_RELEASE_OVERLAP else "first"
        wanted = f"{raised.isoformat()} {turn}"
        done = self._metadata.read([MIGRATION_KEY])[MIGRATION_KEY]
        if done is not None and (done.rules == wanted or done.rules == f"{raised.isoformat()} last"):
            return []
        pages = [(kind, scan_pages(self._metadata, kind)) for kind in TOP_LEVEL_KINDS]
        pages += [(kind, as_queue_pages(RepositoryScan(self._metadata, kind).page)) for kind in IN_REPOSITORY_KINDS]  # type: ignore[misc]
        return [
            # A slice goes on in a phase of the same name: the last round must not go on where the first one stopped.
            *(Phase(f"adopt {kind.KIND}, {turn}", page, self._migrate) for kind, page in pages),
            Phase(f"adopted, {turn}", as_queue_pages(self._completion_page(done, wanted)), lambda record: None),
        ]

    def _migrate(self, listed: Record) -> str:
        """Write a record anew, where an older release may have left it without what is relied on."""
        match listed:
            case Repository(deleted=None):
                return self._replace(listed, review=self._clock(), looked=False)
            case Blob():
                self._migrate_orphaned_links(listed)
            case DeletedLink() if listed.state == HIDDEN and not is_referenced(self._metadata, listed, DeletedManifest):
                # An older release has forgotten its manifest, or put it anew, and did not know of hidden links.
                return self._replace(listed, state=HIDDEN_UNVERIFIED)
            case Link(state="") if not isinstance(listed, DeletedLink):
                # Its manifest may have been deleted, and the link left as it was.
                if is_referenced(self._metadata, listed):
                    return "records as they should be"
                return self._replace(listed, state=UNVERIFIED, since=self._clock())
        return self._replace(listed) if listed.due else "records as they should be"

    def _replace(self, listed: Record, **changes: Any) -> str:
        return "records adopted" if rewrite_if_unchanged(self._metadata, listed, **changes) else RACE_LOST

    def _migrate_orphaned_links(self, blob: Blob) -> None:
        """Adopt the loose links of a blob in repositories that have no record: nothing was put there, or it is gone."""
        for link in find_all(self._metadata, Link, {"id": blob.id}, None):
            key = Key(Repository, link.repository)
            if link.due and self._metadata.read([key])[key] is None:
                self._replace(link)

    def _completion_page(self, done: Job | None, rules: str) -> Callable[[Key[Any] | None], Sequence[Record]]:
        """Return what remembers that all is adopted; without that, the next collection begins again."""

        def page(after: Key[Any] | None) -> Sequence[Record]:
            if not self._report.failed:
                job = replace(done or Job(id=MIGRATION_KEY.id, created=self._clock()), rules=rules)
                try_to_commit(self._metadata, Replace(job) if done else Create(job))
            return ()

        return page
