"""StoreSource: a registry by its stores, on the machine that has them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from lading.commands.options import Reference, change_context, print_warnings, refuse_standby, registry
from lading.commands.progress import ProgressLine
from lading.commands.rows import EventRow, RollbackTarget
from lading.registry.details import DeletedSummary, ManifestDetails, RepositorySummary, TagSummary
from lading.registry.pagination import Page
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.inspection import Inspection
    from lading.registry.registry import Registry

PAGE_SIZE: Final = 100
"""Repositories, tags or tombstones read at once: the cost of a listing follows what is shown."""


class StoreSource:
    """Source over the stores of the settings. See Source."""

    def __init__(self, settings: Settings, writes: bool) -> None:
        """Open the stores at the first call. Raises CommandError where it `writes` and the registry is a standby."""
        if writes:
            refuse_standby(settings)
        self._settings = settings
        self._writes = writes

    @cached_property
    def _registry(self) -> "Registry":
        return registry(self._settings, self._writes)

    @property
    def _inspection(self) -> "Inspection":
        return self._registry.inspection

    def repositories(self, after: str, limit: int) -> Page[RepositorySummary]:
        """See Source."""
        return self._inspection.repositories(after, min(limit, PAGE_SIZE))

    def tags(self, repository: str, after: str, limit: int) -> Page[TagSummary]:
        """See Source."""
        return self._inspection.tags(repository, after, min(limit, PAGE_SIZE))

    def manifest(self, target: Reference) -> ManifestDetails:
        """See Source."""
        return self._inspection.manifest(target.repository, self._full(target) or target.tag)

    def history(self, repository: str, tag: str, limit: int) -> Sequence[EventRow]:
        """See Source."""
        events = self._registry.tags.history(repository, tag, "", limit).items
        if not events:
            self._registry.tags.require(repository, deleted=True)
        return [EventRow.of(each) for each in events]

    def rollback(self, repository: str, tag: str, target: RollbackTarget) -> str:
        """See Source."""
        rollback, context = self._registry.rollback, change_context("rollback")
        if target.at:
            digest = rollback.to_time(repository, tag, target.at, context)
        elif not target.digest:
            digest = rollback.by_steps(repository, tag, target.steps, context)
        else:
            digest = self._inspection.find_digest(repository, target.digest)
            rollback.to_digest(repository, tag, digest, context)
        print_warnings((context.warnings or {}).values())
        return digest

    def tag(self, source: Reference, name: str) -> str:
        """See Source."""
        found = self._registry.manifests.find(source.repository, self._full(source) or source.tag)
        context = change_context("tag")
        self._registry.push.tag(source.repository, found.digest, name, context)
        print_warnings((context.warnings or {}).values())
        return found.digest

    def deleted(self, repository: str) -> Iterator[DeletedSummary]:
        """See Source."""
        from lading.registry.change_context import now

        after, window = "", self._registry.rules.read(repository).undelete(now())
        while True:
            page = self._inspection.deleted(repository, after, PAGE_SIZE, window)
            yield from page.items
            after = page.next
            if not after:
                return

    def delete(self, target: Reference, for_good: bool) -> None:
        """See Source. The reserved disk space is released: on a full disk, only deletion makes garbage to collect."""
        from lading.jobs.gc.reserve import released

        with released(self._settings.metadata):
            store, context = self._registry, change_context("delete")
            if target.digest:
                target = target._replace(digest=self._full(target))
                store.deletion.manifest(target.repository, target.digest, context)
            elif target.tag:
                store.tags.delete(target.repository, target.tag, context)
            else:
                with ProgressLine() as line:
                    store.deletion.repository(target.repository, context, line.show)
            if for_good:
                self._purge(target)

    def undelete(self, target: Reference, force: bool) -> None:
        """See Source."""
        undelete, context = self._registry.undelete, change_context("restore")
        if target.digest:
            digest = self._inspection.find_deleted_digest(target.repository, target.digest)
            undelete.manifest(target.repository, digest, context)
        elif target.tag:
            undelete.tag(target.repository, target.tag, context, force=force)
        else:
            undelete.repository(target.repository, context)
        print_warnings((context.warnings or {}).values())

    def _full(self, target: Reference) -> str:
        """Return the whole digest of a reference, or "" where it has none."""
        return self._inspection.find_digest(target.repository, target.digest) if target.digest else ""

    def _purge(self, target: Reference) -> None:
        """Remove the tombstones that the deletion of `target` has just made."""
        from lading.registry import deletion_causes

        if target.digest:
            cause = deletion_causes.of_manifest(target.digest)
        elif target.tag:
            cause = deletion_causes.of_tag(target.tag)
        else:
            cause = deletion_causes.of_repository(target.repository)
        self._registry.undelete.purge_by_cause(target.repository, cause)
