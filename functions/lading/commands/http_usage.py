"""Disk usage over HTTP: the records of a repository, page by page, are counted here as on the stores.

names, blobs, shared blobs, manifests, tags   the right to pull
rules; pulls, deleted manifests, in-use       the rights to push and to delete: what clean-up would free
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

from lading.client.connection import Connection
from lading.commands.http_listing import CATALOG_SCOPE, MAX_PAGE, HttpListing, below
from lading.commands.http_rules import HttpRules
from lading.jobs.cleanup import CleanupContext, plan_of
from lading.jobs.usage import CleanupPreview
from lading.registry.cleanup.apply import POLICY_ACTOR_PREFIX
from lading.registry.cleanup.graph import Graph
from lading.registry.cleanup.inventory import nodes_of
from lading.registry.details import RepositorySummary
from lading.registry.errors import NAME_UNKNOWN, RegistryError
from lading.registry.pagination import Page
from lading.registry.rules.effective import EffectiveRules
from lading.registry.usage_records import (
    BlobUsage,
    DeletedUsage,
    InUseManifest,
    ManifestUsage,
    PullUsage,
    TagUsage,
)
from lading_storage.records.core import Manifest, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.jobs import InUseReport, LastPull

T = TypeVar("T")

NOT_SENT: Final = ""
"""Value of a record's fields that usage does not need."""


class HttpUsage:
    """UsageSource over HTTP. Each method raises RegistryError, and ClientError as Source does.

    A repository that is deleted meanwhile is empty.
    """

    def __init__(self, connection: Connection, context: CleanupContext) -> None:
        """Make requests over `connection`; `context` has no in-use reports, which are the registry's."""
        self._listing = HttpListing(connection)
        self._rules = HttpRules(connection)
        self._context = context

    def names(self) -> Iterator[str]:
        """Yield the names of all repositories that the caller may pull from."""
        after = ""
        while True:
            place = "/v2/_lading/repositories", CATALOG_SCOPE
            page, _ = self._listing.page(RepositorySummary, place, after, MAX_PAGE)
            yield from (each.name for each in page.items)
            after = page.next
            if not after:
                return

    def require(self, repository: str) -> None:
        """Raise RegistryError unless the caller may pull from a repository, and it exists."""
        self._listing.page(BlobUsage, below(repository, "usage"), "", 1, name="blobs", of="blobs")

    def blob_sizes(self, repository: str) -> Mapping[str, int]:
        """See UsageSource."""
        return {each.digest: each.size for each in self._all(BlobUsage, below(repository, "usage"), "blobs")}

    def shared_blobs(self, repository: str, blobs: Iterable[str]) -> set[str]:
        """See UsageSource: shared with repositories that the caller may pull from."""
        path, scope = below(repository, "usage")
        # A token of the repository's scope alone says nothing about others.
        return {each.digest for each in self._all(BlobUsage, (path, f"{scope} {CATALOG_SCOPE}"), "shared-blobs")}

    def preview(self, repository: str) -> CleanupPreview:
        """See UsageSource."""
        usage = below(repository, "usage")
        manifests = [_manifest(repository, each) for each in self._all(ManifestUsage, usage, "manifests")]
        tags = defaultdict[str, list[Tag]](list)
        may_preview = False
        for page, found in self._pages(TagUsage, usage, "tags"):
            may_preview = found.get("cleanup") is True
            for tag in page.items:
                tags[tag.digest].append(_tag(repository, tag))
        if not may_preview:
            rules = EffectiveRules(repository, None, None)
            return CleanupPreview(Graph(nodes_of(manifests, tags, (), (), rules)), None)
        rules = self._rules.effective(repository)
        place = below(repository, "cleanup")
        deleted = (_deleted(repository, each) for each in self._all(DeletedUsage, place, "deleted"))
        pulls = (
            LastPull(id=each.digest, repository=repository, pulled=each.pulled)
            for each in self._all(PullUsage, place, "pulls")
        )
        nodes = nodes_of(manifests, tags, pulls, deleted, rules)
        used = tuple(each.digest for each in self._all(InUseManifest, place, "in-use"))
        report = InUseReport(id=NOT_SENT, references=used, reported=self._context.now)
        plan = plan_of(rules, nodes, replace(self._context, running=[report]))
        return CleanupPreview(plan.graph, plan.policy_by_digest)

    def _all(self, kind: type[T], place: tuple[str, str], of: str) -> Iterator[T]:
        return (each for page, _ in self._pages(kind, place, of) for each in page.items)

    def _pages(self, kind: type[T], place: tuple[str, str], of: str) -> Iterator[tuple[Page[T], Any]]:
        """Yield the pages of a listing, with the responses; none where the repository was deleted meanwhile."""
        after = ""
        while True:
            try:
                page, found = self._listing.page(kind, place, after, MAX_PAGE, name=of, of=of)
            except RegistryError as error:
                if error.descriptor.code != NAME_UNKNOWN.code:
                    raise
                return
            yield page, found
            after = page.next
            if not after:
                return


def _manifest(repository: str, sent: ManifestUsage) -> Manifest:
    return Manifest(
        id=sent.digest,
        repository=repository,
        media_type=NOT_SENT,
        size=sent.size,
        subject=sent.subject,
        attachment=sent.attachment,
        blobs=sent.blobs,
        children=sent.children,
        created=sent.created,
        restored=sent.restored,
    )


def _tag(repository: str, sent: TagUsage) -> Tag:
    return Tag(id=sent.tag, repository=repository, digest=sent.digest, media_type=NOT_SENT, size=0, moved=sent.moved)


def _deleted(repository: str, sent: DeletedUsage) -> DeletedManifest:
    return DeletedManifest(
        id=sent.digest,
        repository=repository,
        media_type=NOT_SENT,
        size=0,
        children=sent.children,
        created=sent.created,
        deleted=sent.deleted,
        by=f"{POLICY_ACTOR_PREFIX}{sent.policy}" if sent.policy else "",
        cause=NOT_SENT,
    )
