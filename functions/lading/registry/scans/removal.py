"""Removal for good of a manifest that the registry itself made and has replaced, without a tombstone.

A tombstone would be worth nothing: a report that a newer one has replaced is never restored, and after a week of daily
reports seven of them would be kept for each image. Whatever clients made of it keeps it, though: a tag, an index, a
referrer such as a signature.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from lading.registry.change_context import PURGE, ChangeContext
from lading.registry.content.large_manifests import links_of, purge_link_writes
from lading.registry.events.event_types import IMAGE_DELETED, IMAGE_PURGED
from lading.registry.events.outbox import MICROSECOND, EventTime, image_event, next_image_time
from lading_storage.protocols import Delete, MetadataStore, Write
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.deleted import DeletedManifest
from lading_storage.records.fields import converted
from lading_storage.records.jobs import LastPull
from lading_storage.records.trust import Trust


def removal_writes(
    metadata: MetadataStore,
    manifests: Sequence[Manifest],
    kept_blobs: Collection[str],
    now: datetime,
    context: ChangeContext,
) -> list[Write]:
    """Return the writes of a commit that removes manifests for good, with their events.

    Args:
        metadata: to read from.
        manifests: as they were read before; those that something refers to are left out.
        kept_blobs: digests of blobs whose links the same commit writes itself.
        now: the time of the commit.
        context: of the change.
    """
    removed = [each for each in manifests if not _is_referenced(metadata, each)]
    writes: list[Write] = []
    links_done = {*kept_blobs}
    for manifest in removed:
        tombstone = converted(manifest, DeletedManifest, deleted=now, cause="", blobs=_without(manifest, links_done))
        links_done.update(manifest.blobs)
        own: list[Key[Any]] = [Key(kind, manifest.id, manifest.repository) for kind in (LastPull, Trust)]
        keys: list[Key[Any]] = [*links_of(tombstone), *own]
        found = metadata.read(keys, content=False)
        writes += [Delete(manifest), *purge_link_writes(found, tombstone, now)]
        writes += [Delete(record) for key in own if (record := found[key]) is not None]
        deleted = next_image_time(manifest, now)
        purged = EventTime(now, deleted.stamp + MICROSECOND)
        writes.append(image_event(IMAGE_DELETED, manifest, deleted, context))
        writes.append(image_event(IMAGE_PURGED, manifest, purged, PURGE._replace(actor=context.actor)))
    return writes


def _without(manifest: Manifest, digests: Collection[str]) -> tuple[str, ...]:
    return tuple(digest for digest in manifest.blobs if digest not in digests)


def _is_referenced(metadata: MetadataStore, manifest: Manifest) -> bool:
    """Return whether a tag, an index or a referrer refers to a manifest.

    A change that adds one touches the manifest, except for a referrer, whose subject need not exist.
    """
    references: tuple[tuple[type[Tag | Manifest], str], ...] = (
        (Tag, "digest"),
        (Manifest, "children"),
        (Manifest, "subject"),
    )
    return any(
        metadata.find(Query(kind, {field: manifest.id}, repository=manifest.repository, limit=1))
        for kind, field in references
    )
