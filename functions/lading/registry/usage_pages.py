"""Pages of what disk usage and clean-up read of a repository (registry.usage_records).

The whole of a large repository takes more than a request may. So a page is one query of the store, and what is counted
is summed by the reader of the pages. What a page costs follows its size, and not the repository's or the registry's:

    blobs, manifests, tags, pulls, deleted  one query; of manifests that the first release wrote, a read of them as well
    shared blobs                            a query, and one for each blob; more where repositories are hidden
    in use                                  a query of MAX_REPORTS reports, and a read for each BATCH_SIZE references
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Final, TypeVar

from lading.registry.cleanup.apply import POLICY_ACTOR_PREFIX
from lading.registry.fan_out import query_each
from lading.registry.in_use import digests_in_use
from lading.registry.lifecycle.dependents import with_attachments
from lading.registry.pagination import Page
from lading.registry.usage_records import (
    MAX_SCANNED,
    BlobUsage,
    DeletedUsage,
    InUseManifest,
    ManifestUsage,
    PullUsage,
    TagUsage,
)
from lading_storage.digests import is_digest
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Link, Manifest, R, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.jobs import InUseReport, LastPull

MAX_MANIFESTS: Final = 200
MAX_DIGESTS: Final = 20_000
"""Manifests of a page, and digests that they name: one manifest names 5,000 at most, and most of them ten."""

MAX_SHARED: Final = 100
"""Blobs of a page that are looked up in other repositories."""

CALL_COST: Final = 50
"""Records that a query counts as at least, so that a page of shared blobs makes few of them."""

MAX_REPORTS: Final = 10
"""In-use reports of a page, of 5,000 references each at most."""

BATCH_SIZE: Final = 500
"""Records of one query, and keys of one read."""

T = TypeVar("T", Manifest, DeletedManifest)


class UsagePages:
    """Pages of the records of one repository. `after` is the `next` of the page before, or ""."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Read `metadata`."""
        self._metadata = metadata

    def blobs(self, repository: str, after: str, limit: int) -> Page[BlobUsage]:
        """Return blobs that the repository links."""
        page = self._page(Link, repository, after, limit)
        return Page([BlobUsage(each.id, each.size) for each in page.items], page.next)

    def shared_blobs(
        self, repository: str, after: str, limit: int, visible: Callable[[str], bool], max_scanned: int = MAX_SCANNED
    ) -> Page[BlobUsage]:
        """Return those blobs of a page that another visible repository links as well.

        Args:
            repository: the repository.
            after: see the class.
            limit: the maximum number of blobs that are looked up.
            visible: returns whether the caller may know what a repository links.
            max_scanned: the records of hidden repositories that are read, beside two for each blob. A page ends before
                the blob whose search would exceed it, and the first blob of a page is not shared then.
        """
        page = self._page(Link, repository, after, min(limit, MAX_SHARED))
        firsts = dict(query_each(lambda digest: self._links(digest, None, 2), [each.id for each in page.items]))
        shared: list[BlobUsage] = []
        remaining = max_scanned
        for number, link in enumerate(page.items):
            held, scanned = self._search(firsts[link.id], repository, visible, remaining)
            remaining -= scanned
            if held is None and number:
                return Page(shared, page.items[number - 1].id)
            if held:
                shared.append(BlobUsage(link.id, link.size))
            if remaining <= 0:
                return Page(shared, link.id if link is not page.items[-1] else page.next)
        return Page(shared, page.next)

    def _search(
        self, links: Sequence[Link], repository: str, visible: Callable[[str], bool], remaining: int
    ) -> tuple[bool | None, int]:
        """Return whether another visible repository links a blob, and how many records were read to say so.

        Args:
            links: the first two of the blob.
            repository: see shared_blobs.
            visible: the same.
            remaining: the maximum number of records to read. It is None whether there is one if they do not suffice.
        """
        scanned, limit = 0, 2
        while not any(each.repository != repository and visible(each.repository) for each in links):
            if len(links) < limit:
                return False, scanned
            limit = min(4 * limit, BATCH_SIZE, remaining - scanned)
            if limit <= 0:
                return None, scanned
            links = self._links(links[-1].id, links[-1], limit)
            scanned += max(limit, CALL_COST)
        return True, scanned

    def _links(self, digest: str, after: Link | None, limit: int) -> Sequence[Link]:
        query = Query(Link, {"id": digest}, repository=None, limit=limit)
        return self._metadata.find(query.after_record(after) if after else query)

    def manifests(self, repository: str, after: str, limit: int) -> Page[ManifestUsage]:
        """Return manifests; a page has fewer than `limit` where they name many digests."""
        page = _cut(self._page(Manifest, repository, after, min(limit, MAX_MANIFESTS)))
        unknown = [each for each in page.items if not (each.attachment or each.subject)]
        known = {each.id: each for each in with_attachments(self._metadata, unknown)}
        return Page([_manifest(known.get(each.id, each)) for each in page.items], page.next)

    def tags(self, repository: str, after: str, limit: int) -> Page[TagUsage]:
        """Return tags, in the order of tag listings."""
        page = self._page(Tag, repository, after, limit)
        return Page([TagUsage(each.id, each.digest, each.moved) for each in page.items], page.next)

    def pulls(self, repository: str, after: str, limit: int) -> Page[PullUsage]:
        """Return manifests that were pulled, and when."""
        page = self._page(LastPull, repository, after, limit)
        return Page([PullUsage(each.id, each.pulled) for each in page.items], page.next)

    def deleted(self, repository: str, after: str, limit: int) -> Page[DeletedUsage]:
        """Return deleted manifests; a page has fewer than `limit` where they name many digests."""
        page = _cut(self._page(DeletedManifest, repository, after, min(limit, MAX_MANIFESTS)))
        return Page([_deleted(each) for each in page.items], page.next)

    def in_use(self, repository: str, after: str, limit: int) -> Page[InUseManifest]:
        """Return the manifests that some reports name; `after` is a report. Those of no other repository are named."""
        page = self._page(InUseReport, "", after, min(limit, MAX_REPORTS))
        targets = sorted(digests_in_use(page.items, repository))
        used = {digest for batch in _batches(targets) for digest in self._existing(repository, batch)}
        return Page([InUseManifest(each) for each in sorted(used)], page.next)

    def _existing(self, repository: str, targets: Sequence[str]) -> Iterator[str]:
        """Yield the digests of the manifests that digests and tags name."""
        manifests = {each: Key(Manifest, each, repository) for each in targets if is_digest(each)}
        tags = {each: Key(Tag, each, repository) for each in targets if each not in manifests}
        found = self._metadata.read([*manifests.values(), *tags.values()])
        yield from (digest for digest, key in manifests.items() if found[key] is not None)
        yield from (tag.digest for key in tags.values() if (tag := found[key]) is not None)

    def _page(self, kind: type[R], repository: str, after: str, limit: int) -> Page[R]:
        if not limit:
            return Page([])
        records = self._metadata.find(Query(kind, repository=repository, after=after, limit=limit + 1))
        return Page(records[:limit], records[limit - 1].id if len(records) > limit else "")


def _cut(page: Page[T]) -> Page[T]:
    """Return a page that ends after MAX_DIGESTS digests."""
    digests = 0
    for number, record in enumerate(page.items, 1):
        digests += len(record.blobs) + len(record.children)
        if digests >= MAX_DIGESTS and number < len(page.items):
            return Page(page.items[:number], record.id)
    return page


def _manifest(record: Manifest) -> ManifestUsage:
    return ManifestUsage(
        digest=record.digest,
        size=record.size,
        created=record.created,
        restored=record.restored,
        subject=record.subject,
        attachment=record.attachment,
        children=record.children,
        blobs=record.blobs,
    )


def _deleted(record: DeletedManifest) -> DeletedUsage:
    is_policy = record.by.startswith(POLICY_ACTOR_PREFIX)
    policy = record.by.removeprefix(POLICY_ACTOR_PREFIX) if is_policy else ""
    return DeletedUsage(record.digest, record.created, record.deleted, policy, record.children)


def _batches(items: Sequence[str]) -> Iterator[list[str]]:
    remaining = iter(items)
    while batch := list(islice(remaining, BATCH_SIZE)):
        yield batch
