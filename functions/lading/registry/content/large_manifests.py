"""Manifests that need more than fits into one commit: what is done about their links in commits of its own.

A put, an undelete, a delete and a forget of a manifest write each of its links. 4,990 of these, and their index
entries, can be more than a store takes in a commit (lading_storage.commit_size). So where a commit raised TooLarge, the
links change their states before it, or after it, a batch at a time, and the commit itself only touches them. A loose
link is always right: it may be named or not, and collection sees which. So wherever it ends, collection goes on:

    put, undelete   links are shown, as loose ones, and the commit touches them. Loose they stay.
    delete          links are loosened; the manifest is deleted; links that nothing else names are hidden.
    forget          links are loosened, and hidden ones forgotten; the commit that forgets the manifest touches them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from lading.registry.batches import in_batches
from lading.registry.change_context import Clock
from lading.registry.content import blob_links
from lading.registry.content.dependencies import deletion_link_writes, dependencies_of, hidden_dependencies_of
from lading.registry.retry import retry_on_conflict
from lading_storage.protocols import Delete, Found, MetadataStore, Replace, Touch, Write
from lading_storage.records.core import HIDDEN_UNVERIFIED, UNVERIFIED, Blob, Key, Link, Manifest
from lading_storage.records.deleted import DeletedLink, DeletedManifest

MAX_LINKS: Final = 500
"""Links of one batch, which is halved where it does not fit."""


def unhide_links(
    metadata: MetadataStore, manifest: Manifest, clock: Clock, hidden_for: timedelta = timedelta.max
) -> None:
    """Make each link visible that a manifest needs, as a loose one, unless it has been hidden for `hidden_for`."""

    def writes(some: Manifest) -> list[Write]:
        found = metadata.read([*dependencies_of(some), *hidden_dependencies_of(some)], content=False)
        now = clock(found.read_at)
        shown: list[Write] = []
        for digest in some.blobs:
            link = found[Key(Link, digest, some.repository)]
            hidden, blob = found[Key(DeletedLink, digest, some.repository)], found[Key(Blob, digest)]
            if link is not None:
                shown += _visible_writes(link, hidden, now)
            elif hidden and blob and not blob.damaged and now - hidden.hidden_at < hidden_for:
                shown += blob_links.unhide(hidden, blob, now, state=UNVERIFIED)
        return shown

    _in_batches(metadata, manifest, writes)


def touch_unverified(found: Found, writes: list[Write]) -> list[Write]:
    """Return the writes of a manifest that names what was found, with loose links touched instead: they stay loose."""

    def touched(write: Write) -> Write:
        link = found[write.record.key] if isinstance(write, Replace) else None
        return Touch(link.key, link.version) if isinstance(link, Link) and link.state == UNVERIFIED else write

    return [touched(write) for write in writes]


def unverify_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Loosen each link that a manifest names, from now on: also those that are loose.

    Of one that has been so for long, a collection would say before the manifest is deleted that it is named.
    """

    def writes(some: Manifest) -> list[Write]:
        found = metadata.read(dependencies_of(some))
        now = clock(found.read_at)
        return [blob_links.unverify(link, now) for link in _links(found, some) if link.state in ("", UNVERIFIED)]

    _in_batches(metadata, manifest, writes)


def hide_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Hide each link that a deleted manifest names and no live one: it may live again by now."""
    _in_batches(
        metadata, manifest, lambda some: deletion_link_writes(metadata, some.repository, (), some.blobs, clock())
    )


def unverify_links_for_purge(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Loosen each link that a deleted manifest names, and forget each hidden one: it is forgotten next."""

    def writes(some: Manifest) -> list[Write]:
        found = metadata.read(links_of(some))
        return purge_link_writes(found, some, clock(found.read_at), rewrite=False)

    _in_batches(metadata, manifest, writes)


def links_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of all links that a manifest names, visible or hidden."""
    return [Key(kind, digest, manifest.repository) for kind in (Link, DeletedLink) for digest in manifest.blobs]


def purge_link_writes(found: Found, manifest: Manifest, now: datetime, *, rewrite: bool = True) -> list[Write]:
    """Return the writes about the links of a deleted manifest that is forgotten.

    Args:
        found: of `links_of`.
        manifest: the deleted one.
        now: the time from which links are loose.
        rewrite: whether those are written anew that are loose or forgotten already; else they are only touched.
    """
    writes: list[Write] = []
    for digest in manifest.blobs:
        link = found[Key(Link, digest, manifest.repository)]
        hidden = found[Key(DeletedLink, digest, manifest.repository)]
        if link is not None:
            loose = not rewrite and link.state == UNVERIFIED
            writes.append(Touch(link.key, link.version) if loose else blob_links.unverify(link, now))
        if hidden is not None:
            done = not rewrite and hidden.state == HIDDEN_UNVERIFIED
            writes.append(Touch(hidden.key, hidden.version) if done else blob_links.unverify_hidden(hidden))
    return writes


def drop_tombstone_writes(
    metadata: MetadataStore, tombstone: DeletedManifest, manifest: Manifest, clock: Clock, *, rewrite: bool = True
) -> list[Write]:
    """Return the writes that forget that a manifest was deleted which is put or restored in the same commit.

    The same bytes may have been deleted as another media type, which named other blobs. Nothing leads to the hidden
    links of these without the tombstone, so they are let go as if it were forgotten: see `forgetting`.
    """
    others = without_blobs_of(tombstone, manifest)
    if not others.blobs:
        return [Delete(tombstone)]
    found = metadata.read(links_of(others))
    return [Delete(tombstone), *purge_link_writes(found, others, clock(found.read_at), rewrite=rewrite)]


def without_blobs_of(tombstone: DeletedManifest, manifest: Manifest) -> DeletedManifest:
    """Return a deleted manifest as if it named only those blobs that `manifest` does not name."""
    named = {*manifest.blobs}
    return replace(tombstone, blobs=tuple(digest for digest in tombstone.blobs if digest not in named), children=())


def _visible_writes(link: Link, hidden: DeletedLink | None, now: datetime) -> list[Write]:
    """Return the writes by which a link is named or loose, and alone."""
    writes: list[Write] = [] if link.state in ("", UNVERIFIED) else [blob_links.unverify(link, now)]
    if hidden is not None:
        writes += [Delete(hidden), *([] if writes else [Touch(link.key, link.version)])]
    return writes


def _links(found: Found, manifest: Manifest) -> list[Link]:
    keys = [Key(Link, digest, manifest.repository) for digest in manifest.blobs]
    return [link for key in keys if (link := found[key]) is not None]


def _in_batches(metadata: MetadataStore, manifest: Manifest, writes: Callable[[Manifest], list[Write]]) -> None:
    """Commit the writes about the links of a manifest: of as many as fit, as if it named no others."""

    def commit(digests: Sequence[str]) -> None:
        some = replace(manifest, blobs=tuple(digests), children=())

        def attempt() -> None:
            if found := writes(some):
                metadata.commit(found)

        retry_on_conflict(attempt)

    in_batches(manifest.blobs, commit, max_items=MAX_LINKS)
