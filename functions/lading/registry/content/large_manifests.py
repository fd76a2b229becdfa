"""Manifests whose links do not fit into one commit: their links are written in commits of their own.

A put, restore, delete or purge of a manifest writes each of its links. 4,990 of these, and their index entries, can
exceed what a store accepts in one commit (lading_storage.commit_size). So after a TooLarge, the links change their
state before or after the commit, a batch at a time, and the commit itself only touches them. "Unverified" is always a
correct state of a link: it may be referenced or not, and collection verifies it. So after an interruption at any point,
collection continues:

    put, restore   links become visible and unverified; the commit touches them; they stay unverified.
    delete         links become unverified; the manifest is deleted; links without another reference are hidden.
    purge          links become unverified, hidden ones too; the commit that purges the manifest touches them.
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
"""Links in one batch, which is halved if it does not fit."""


def unhide_links(
    metadata: MetadataStore, manifest: Manifest, clock: Clock, hidden_for: timedelta = timedelta.max
) -> None:
    """Make each link that a manifest needs visible and unverified, except those hidden for `hidden_for` or longer."""

    def writes_for(part: Manifest) -> list[Write]:
        found = metadata.read([*dependencies_of(part), *hidden_dependencies_of(part)], content=False)
        now = clock(found.read_at)
        writes: list[Write] = []
        for digest in part.blobs:
            link = found[Key(Link, digest, part.repository)]
            hidden, blob = found[Key(DeletedLink, digest, part.repository)], found[Key(Blob, digest)]
            if link is not None:
                writes += _visible_writes(link, hidden, now)
            elif hidden and blob and not blob.damaged and now - hidden.hidden_at < hidden_for:
                writes += blob_links.unhide(hidden, blob, now, state=UNVERIFIED)
        return writes

    _in_batches(metadata, manifest, writes_for)


def touch_unverified(found: Found, writes: list[Write]) -> list[Write]:
    """Return the writes of a manifest's references, with unverified links only touched: they stay unverified."""

    def touched(write: Write) -> Write:
        link = found[write.record.key] if isinstance(write, Replace) else None
        return Touch(link.key, link.version) if isinstance(link, Link) and link.state == UNVERIFIED else write

    return [touched(write) for write in writes]


def unverify_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Make each link that a manifest references unverified as of now, also those that are unverified already.

    An older one could be verified, as referenced, by a collection before the manifest is deleted.
    """

    def writes_for(part: Manifest) -> list[Write]:
        found = metadata.read(dependencies_of(part))
        now = clock(found.read_at)
        return [blob_links.unverify(link, now) for link in _links(found, part) if link.state in ("", UNVERIFIED)]

    _in_batches(metadata, manifest, writes_for)


def hide_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Hide each link that a deleted manifest references and no live one; the manifest may have been restored since."""
    _in_batches(
        metadata, manifest, lambda part: deletion_link_writes(metadata, part.repository, (), part.blobs, clock())
    )


def unverify_links_for_purge(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Make each link that a deleted manifest references unverified, visible or hidden, before its purge."""

    def writes_for(part: Manifest) -> list[Write]:
        found = metadata.read(links_of(part))
        return purge_link_writes(found, part, clock(found.read_at), rewrite=False)

    _in_batches(metadata, manifest, writes_for)


def links_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of all links that a manifest references, visible or hidden."""
    return [Key(kind, digest, manifest.repository) for kind in (Link, DeletedLink) for digest in manifest.blobs]


def purge_link_writes(found: Found, manifest: Manifest, now: datetime, *, rewrite: bool = True) -> list[Write]:
    """Return the writes to the links of a deleted manifest in a commit that purges it.

    Args:
        found: the records of `links_of`.
        manifest: the deleted manifest.
        now: the time from which links are unverified.
        rewrite: whether links that are unverified already are written anew; otherwise they are only touched.
    """
    writes: list[Write] = []
    for digest in manifest.blobs:
        link = found[Key(Link, digest, manifest.repository)]
        hidden = found[Key(DeletedLink, digest, manifest.repository)]
        if link is not None:
            touches = not rewrite and link.state == UNVERIFIED
            writes.append(Touch(link.key, link.version) if touches else blob_links.unverify(link, now))
        if hidden is not None:
            touches = not rewrite and hidden.state == HIDDEN_UNVERIFIED
            writes.append(Touch(hidden.key, hidden.version) if touches else blob_links.unverify_hidden(hidden))
    return writes


def drop_tombstone_writes(
    metadata: MetadataStore, tombstone: DeletedManifest, manifest: Manifest, clock: Clock, *, rewrite: bool = True
) -> list[Write]:
    """Return the writes that drop the tombstone of a manifest that the same commit puts or restores.

    The same bytes may have been deleted as another media type, which references other blobs. Without the tombstone,
    nothing leads to the hidden links of these blobs, so they are released as in a purge (`purge_link_writes`).
    """
    others = without_blobs_of(tombstone, manifest)
    if not others.blobs:
        return [Delete(tombstone)]
    found = metadata.read(links_of(others))
    return [Delete(tombstone), *purge_link_writes(found, others, clock(found.read_at), rewrite=rewrite)]


def without_blobs_of(tombstone: DeletedManifest, manifest: Manifest) -> DeletedManifest:
    """Return a tombstone reduced to the blobs that `manifest` does not reference."""
    kept = {*manifest.blobs}
    return replace(tombstone, blobs=tuple(digest for digest in tombstone.blobs if digest not in kept), children=())


def _visible_writes(link: Link, hidden: DeletedLink | None, now: datetime) -> list[Write]:
    """Return the writes after which a link is referenced or unverified, and no hidden one is beside it."""
    writes: list[Write] = [] if link.state in ("", UNVERIFIED) else [blob_links.unverify(link, now)]
    if hidden is not None:
        writes += [Delete(hidden), *([] if writes else [Touch(link.key, link.version)])]
    return writes


def _links(found: Found, manifest: Manifest) -> list[Link]:
    keys = [Key(Link, digest, manifest.repository) for digest in manifest.blobs]
    return [link for key in keys if (link := found[key]) is not None]


def _in_batches(metadata: MetadataStore, manifest: Manifest, writes_for: Callable[[Manifest], list[Write]]) -> None:
    """Commit the writes to the links of a manifest in batches; `writes_for` gets it reduced to the batch's blobs."""

    def commit(digests: Sequence[str]) -> None:
        part = replace(manifest, blobs=tuple(digests), children=())

        def attempt() -> None:
            if writes := writes_for(part):
                metadata.commit(writes)

        retry_on_conflict(attempt)

    in_batches(manifest.blobs, commit, max_items=MAX_LINKS)
