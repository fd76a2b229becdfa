"""Purge: end the time in which something deleted can be restored, so that collection can delete blobs of its own."""

from collections.abc import Sequence

from lading.registry.change_context import PURGE, Clock
from lading.registry.content import blob_links
from lading.registry.content.large_manifests import links_of, purge_link_writes, unverify_links_for_purge
from lading.registry.events.event_types import IMAGE_PURGED
from lading.registry.events.outbox import image_event, next_image_time
from lading.registry.trust_records import (
    digest_signed_by_tag,
    purge_keys,
    purge_writes,
    unsigned_keys,
    unsigned_writes,
)
from lading_storage.errors import TooLarge
from lading_storage.protocols import Delete, MetadataStore, Write
from lading_storage.records.core import Blob, Key, Manifest
from lading_storage.records.deleted import DeletedLink, DeletedManifest, DeletedTag
from lading_storage.records.jobs import LastPull
from lading_storage.records.scans import Facts


def purge(
    metadata: MetadataStore,
    clock: Clock,
    tombstone: DeletedManifest | DeletedTag | DeletedLink,
    guard: Sequence[Write] = (),
) -> None:
    """Purge a tombstone at its version.

    Args:
        metadata: the store.
        clock: the time of the purge.
        tombstone: the tombstone.
        guard: the writes that verify the rules by which it may be purged.

    Raises:
        Conflict: the tombstone or a rule has changed.
    """
    if isinstance(tombstone, DeletedManifest):
        try:
            _purge_manifest(metadata, clock, tombstone, guard)
        except TooLarge:
            unverify_links_for_purge(metadata, tombstone, clock)
            _purge_manifest(metadata, clock, tombstone, guard, rewrite=False)
        return
    metadata.commit([Delete(tombstone), *guard, *_writes_beside(metadata, tombstone)])


def _writes_beside(metadata: MetadataStore, tombstone: DeletedTag | DeletedLink) -> list[Write]:
    """Return the writes that accompany the purge of a tag or a link."""
    if isinstance(tombstone, DeletedLink):
        blob = Key(Blob, tombstone.id)
        return [blob_links.unverify_blob(record) for record in [metadata.read([blob])[blob]] if record is not None]
    subject = digest_signed_by_tag(tombstone.id)
    if not subject:
        return []
    found = metadata.read(unsigned_keys(tombstone.repository, subject), content=False)
    return unsigned_writes(found, tombstone.repository, subject)


def _purge_manifest(
    metadata: MetadataStore, clock: Clock, tombstone: DeletedManifest, guard: Sequence[Write], *, rewrite: bool = True
) -> None:
    """Purge a tombstone. It has no event if the manifest is live: its restore was interrupted."""
    pull, facts, live = (Key(kind, tombstone.id, tombstone.repository) for kind in (LastPull, Facts, Manifest))
    keys = [*links_of(tombstone), pull, facts, live, *purge_keys(tombstone)]
    found = metadata.read(keys, content=False)
    now = clock()
    writes = purge_link_writes(found, tombstone, now, rewrite=rewrite)
    writes += [Delete(record) for record in [found[pull]] if record is not None]
    if found[live] is None:
        writes += [Delete(record) for record in [found[facts]] if record is not None]
        writes += purge_writes(found, tombstone)
        writes.append(image_event(IMAGE_PURGED, tombstone, next_image_time(tombstone, now), PURGE))
    metadata.commit([Delete(tombstone), *guard, *writes])
