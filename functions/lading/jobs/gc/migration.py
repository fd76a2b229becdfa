"""Migration: bring records that an older release wrote into the queues of this release.

An older release writes records without an entry in a queue, and does not update the links of a manifest that it
deletes; collection would never process these. So when the schema version was raised (MetadataStore.schema_raised), a
collection walks all records once, and once more when no older release can write any longer. Later collections only read
that this was done. Until then nothing is lost: records without an entry are kept.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from lading.jobs.job_report import RACE_LOST, JobReport
from lading.jobs.phases import Phase, as_queue_pages, rewrite_if_unchanged, scan_pages
from lading.jobs.repository_scan import RepositoryScan
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
"""The record that stores, as its rules, which schema change all records have been migrated for."""

TOP_LEVEL_KINDS: Final = (Upload, Blob, Repository)
IN_REPOSITORY_KINDS: Final = (Link, DeletedManifest, DeletedTag, DeletedLink)


class Migration:
    """The phases of a collection that migrate records."""

    def __init__(self, metadata: MetadataStore, clock: Clock, report: JobReport) -> None:
        """Migrate the records in `metadata`; `report` is the collection's."""
        self._metadata = metadata
        self._clock = clock
        self._report = report

    def phases(self) -> list[Phase]:
        """Return the phases, in order; none if there is nothing left to migrate."""
        raised = self._metadata.schema_raised()
        if raised is None:
            return []
        # No process of an older release writes after the overlap, so the second pass, which starts then, is the last.
        pass_name = "last" if self._clock() > raised + MAX_RELEASE_OVERLAP else "first"
        rules = f"{raised.isoformat()} {pass_name}"
        done = self._metadata.read([MIGRATION_KEY])[MIGRATION_KEY]
        if done is not None and done.rules in (rules, f"{raised.isoformat()} last"):
            return []
        pages = [(kind, scan_pages(self._metadata, kind)) for kind in TOP_LEVEL_KINDS]
        pages += [(kind, as_queue_pages(RepositoryScan(self._metadata, kind).page)) for kind in IN_REPOSITORY_KINDS]  # type: ignore[misc]
        return [
            # A slice resumes in the phase of the same name: the last pass must not resume where the first one stopped.
            *(Phase(f"adopt {kind.KIND}, {pass_name}", page, self._migrate) for kind, page in pages),
            Phase(f"adopted, {pass_name}", as_queue_pages(self._completion_page(done, rules)), lambda record: None),
        ]

    def _migrate(self, listed: Record) -> str:
        """Rewrite a record that an older release may have left without a queue entry or with a stale state."""
        match listed:
            case Repository(deleted=None):
                return self._replace(listed, review=self._clock(), looked=False)
            case Blob():
                self._migrate_orphaned_links(listed)
            case DeletedLink() if listed.state == HIDDEN and not is_referenced(self._metadata, listed, DeletedManifest):
                # An older release, without hidden links, has purged its manifest or written it again.
                return self._replace(listed, state=HIDDEN_UNVERIFIED)
            case Link(state="") if not isinstance(listed, DeletedLink):
                # Its manifest may have been deleted without an update of the link.
                if is_referenced(self._metadata, listed):
                    return "records as they should be"
                return self._replace(listed, state=UNVERIFIED, since=self._clock())
        return self._replace(listed) if listed.due else "records as they should be"

    def _replace(self, listed: Record, **changes: Any) -> str:
        return "records adopted" if rewrite_if_unchanged(self._metadata, listed, **changes) else RACE_LOST

    def _migrate_orphaned_links(self, blob: Blob) -> None:
        """Queue the unverified links of a blob in repositories without a record, which a scan of repositories misses.

        Such a repository never got a manifest, or was removed.
        """
        for link in find_all(self._metadata, Link, {"id": blob.id}, None):
            key = Key(Repository, link.repository)
            if link.due and self._metadata.read([key])[key] is None:
                self._replace(link)

    def _completion_page(self, done: Job | None, rules: str) -> Callable[[Key[Any] | None], Sequence[Record]]:
        """Return a page function that records that the pass is complete; after failures the next collection repeats it.

        Args:
            done: the record of an earlier pass, or None.
            rules: what to store in the record.
        """

        def page(after: Key[Any] | None) -> Sequence[Record]:
            if not self._report.failed:
                job = replace(done or Job(id=MIGRATION_KEY.id, created=self._clock()), rules=rules)
                try_to_commit(self._metadata, Replace(job) if done else Create(job))
            return ()

        return page
