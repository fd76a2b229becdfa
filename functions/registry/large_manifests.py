"""Manifests that need more than fits into one commit: what is done about their links in commits of its own.

A put, an undelete, a delete and a forget of a manifest write each of its links. 4,990 of these, and their index
entries, can be more than a store takes in a commit (storage.commit_size). So where a commit raised TooLarge, the links
change their states before it, or after it, a batch at a time, and the commit itself only touches them. A loose link is
always right: it may be named or not, and collection sees which. So wherever it ends, collection goes on:

    put, undelete   links are shown, as loose ones, and the commit touches them. Loose they stay.
    delete          links are loosened; the manifest is deleted; links that nothing else names are hidden.
    forget          links are loosened, and hidden ones forgotten; the commit that forgets the manifest touches them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from functions.registry import links
from functions.registry.acts import Clock
from functions.registry.attempts import settle
from functions.registry.batches import in_batches
from functions.registry.needs import hidden_needs_of, needs_of, released
from storage.past import DeletedLink, DeletedManifest
from storage.protocols import Delete, Found, MetadataStore, Replace, Touch, Write
from storage.records import FORGOTTEN, LOOSE, Blob, Key, Link, Manifest

MAX_LINKS: Final = 500
"""Links of one batch, which is halved where it does not fit."""


def show_links(
    metadata: MetadataStore, manifest: Manifest, clock: Clock, hidden_for: timedelta = timedelta.max
) -> None:
    """Make each link visible that a manifest needs, as a loose one, unless it has been hidden for `hidden_for`."""

    def writes(some: Manifest) -> list[Write]:
        found = metadata.read([*needs_of(some), *hidden_needs_of(some)], content=False)
        now = clock(found.read_at)
        shown: list[Write] = []
        for digest in some.blobs:
            link = found[Key(Link, digest, some.repository)]
            hidden, blob = found[Key(DeletedLink, digest, some.repository)], found[Key(Blob, digest)]
            if link is not None:
                shown += _visible(link, hidden, now)
            elif hidden and blob and not blob.damaged and now - hidden.hidden < hidden_for:
                shown += links.shown(hidden, blob, now, state=LOOSE)
        return shown

    _in_batches(metadata, manifest, writes)


def touching(found: Found, writes: list[Write]) -> list[Write]:
    """Return the writes of a manifest that names what was found, with loose links touched instead: they stay loose."""

    def touched(write: Write) -> Write:
        link = found[write.record.key] if isinstance(write, Replace) else None
        return Touch(link.key, link.version) if isinstance(link, Link) and link.state == LOOSE else write

    return [touched(write) for write in writes]


def loosen_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Loosen each link that a manifest names, from now on: also those that are loose.

    Of one that has been so for long, a collection would say before the manifest is deleted that it is named.
    """

    def writes(some: Manifest) -> list[Write]:
        found = metadata.read(needs_of(some))
        now = clock(found.read_at)
        return [links.loosened(link, now) for link in _links(found, some) if link.state in ("", LOOSE)]

    _in_batches(metadata, manifest, writes)


def hide_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Hide each link that a deleted manifest names and no live one: it may live again by now."""
    _in_batches(metadata, manifest, lambda some: released(metadata, some.repository, (), some.blobs, clock()))


def forget_links(metadata: MetadataStore, manifest: Manifest, clock: Clock) -> None:
    """Loosen each link that a deleted manifest names, and forget each hidden one: it is forgotten next."""

    def writes(some: Manifest) -> list[Write]:
        found = metadata.read(links_of(some))
        return forgetting(found, some, clock(found.read_at), again=False)

    _in_batches(metadata, manifest, writes)


def links_of(manifest: Manifest) -> list[Key[Any]]:
    """Return the keys of all links that a manifest names, visible or hidden."""
    return [Key(kind, digest, manifest.repository) for kind in (Link, DeletedLink) for digest in manifest.blobs]


def forgetting(found: Found, manifest: Manifest, now: datetime, *, again: bool = True) -> list[Write]:
    """Return the writes about the links of a deleted manifest that is forgotten.

    Args:
        found: of `links_of`.
        manifest: the deleted one.
        now: the time from which links are loose.
        again: whether those are written anew that are loose or forgotten already; else they are only touched.
    """
    writes: list[Write] = []
    for digest in manifest.blobs:
        link = found[Key(Link, digest, manifest.repository)]
        hidden = found[Key(DeletedLink, digest, manifest.repository)]
        if link is not None:
            loose = not again and link.state == LOOSE
            writes.append(Touch(link.key, link.version) if loose else links.loosened(link, now))
        if hidden is not None:
            done = not again and hidden.state == FORGOTTEN
            writes.append(Touch(hidden.key, hidden.version) if done else links.forgotten(hidden))
    return writes


def dropping(
    metadata: MetadataStore, tombstone: DeletedManifest, manifest: Manifest, clock: Clock, *, again: bool = True
) -> list[Write]:
    """Return the writes that forget that a manifest was deleted which is put or restored in the same commit.

    The same bytes may have been deleted as another media type, which named other blobs. Nothing leads to the hidden
    links of these without the tombstone, so they are let go as if it were forgotten: see `forgetting`.
    """
    others = others_of(tombstone, manifest)
    if not others.blobs:
        return [Delete(tombstone)]
    found = metadata.read(links_of(others))
    return [Delete(tombstone), *forgetting(found, others, clock(found.read_at), again=again)]


def others_of(tombstone: DeletedManifest, manifest: Manifest) -> DeletedManifest:
    """Return a deleted manifest as if it named only those blobs that `manifest` does not name."""
    named = {*manifest.blobs}
    return replace(tombstone, blobs=tuple(digest for digest in tombstone.blobs if digest not in named), children=())


def _visible(link: Link, hidden: DeletedLink | None, now: datetime) -> list[Write]:
    """Return the writes by which a link is named or loose, and alone."""
    writes: list[Write] = [] if link.state in ("", LOOSE) else [links.loosened(link, now)]
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

        settle(attempt)

    in_batches(manifest.blobs, commit, most=MAX_LINKS)
