"""Dependents of a manifest: what a delete request deletes with it, namely its referrers without another reference.

A referrer has the manifest as its subject, or is attached to it by a referrer tag (content.referrer_tags). If a
referrer tag points to a manifest without attaching it, only the tag is deleted: otherwise a client with the permission
to push could have any manifest deleted by means of a tag.

Conversely, an index is deleted with its child if it was superseded: no tag leads to it any more, nor an index or an
in-use report, it has no subject of its own, and no referrer tag, as cosign's signatures have. Referrers that have it as
their subject are deleted with it, as with any manifest. Clients that keep lists of referrers under a tag (oras) leave
such an index at each change, and then delete the children.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from lading.registry.batches import batches
from lading.registry.content.manifest_format import parse_manifest
from lading.registry.content.referrer_tags import (
    NOT_ATTACHED,
    attaches,
    attachment_of,
    is_pushed_for_tags,
    referrer_tags_of,
)
from lading.registry.errors import RegistryError
from lading.registry.fan_out import query_each
from lading.registry.in_use import digests_in_use
from lading.registry.pagination import find_all, scan_all
from lading_storage.protocols import MAX_CONTENT_SIZE, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.jobs import InUseReport

BATCH_SIZE: Final = 100
"""Indexes that are examined at a time."""

MAX_INDEXES: Final = 10
"""Indexes that an error lists if they block a deletion."""


@dataclass(frozen=True, slots=True)
class DeletionSet:
    """A manifest and its dependents.

    manifests  the manifest and its dependents, each before those that refer to it
    tags       all tags that point to one of these
    dangling   referrer tags of these that point to other manifests
    """

    manifests: Sequence[Manifest]
    tags: Sequence[Tag]
    dangling: Sequence[Tag]


class Dependents:
    """Search for dependents. It reads each manifest before the references to it (content.manifests)."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Search in `metadata`."""
        self._metadata = metadata

    def of(self, root: Manifest, indexes: Sequence[Manifest] = ()) -> DeletionSet:
        """Return a manifest and its dependents: its referrers, and theirs, without another tag or an index.

        Args:
            root: the manifest.
            indexes: superseded indexes that reference it; they are part of the set, with their dependents.
        """
        manifests = {manifest.id: manifest for manifest in (root, *indexes)}
        tags, all_referrer_tags = self.tags(root), dict[str, Tag]()
        queue = [*manifests]
        for digest in queue:
            referrer_tags = self._referrer_tags(root.repository, digest)
            all_referrer_tags |= referrer_tags
            for referrer in self._referrers(root.repository, digest, referrer_tags):
                if referrer.id in manifests:
                    continue
                own_tags = self.tags(referrer)
                if own_tags.keys() <= set(referrer_tags_of(digest)) and not self.indexes(referrer):
                    manifests[referrer.id] = referrer
                    tags |= own_tags
                    queue.append(referrer.id)
        dangling = [tag for tag in all_referrer_tags.values() if tag.digest not in manifests]
        return DeletionSet([*manifests.values()], [*tags.values()], dangling)

    def tags(self, manifest: Manifest) -> dict[str, Tag]:
        """Return all tags that point to a manifest, by name."""
        tags = find_all(self._metadata, Tag, {"digest": manifest.id}, manifest.repository)
        return {tag.id: tag for tag in tags}

    def indexes(self, manifest: Manifest) -> list[str]:
        """Return the digests of at most MAX_INDEXES live indexes that reference a manifest."""
        where = {"children": manifest.id}
        indexes = self._metadata.find(Query(Manifest, where, repository=manifest.repository, limit=MAX_INDEXES))
        return [index.id for index in indexes]

    def blocking_indexes(self, manifest: Manifest) -> tuple[list[str], list[Manifest]]:
        """Return the live indexes that block the deletion of a manifest, or else the superseded ones.

        An index blocks the deletion of its children unless it was superseded: each push gave it a tag, it has none now,
        neither an index nor an in-use report leads to it, and it has neither a subject nor a referrer tag, as cosign's
        signatures have: what is signed may be deployed by digest, and no tag is deleted unasked. An index that was
        pushed by digest alone can be pulled by digest. Referrers without a tag, by their subject alone, do not block.

        Returns:
            The digests of at most MAX_INDEXES blocking indexes; and, if there are none, all superseded indexes.
        """
        blocking: list[str] = []
        superseded: list[Manifest] = []
        indexes = find_all(self._metadata, Manifest, {"children": manifest.id}, manifest.repository)
        while page := list(islice(indexes, BATCH_SIZE)):
            candidates = [index for index in page if not index.subject and is_pushed_for_tags(index.attachment)]
            reports = scan_all(self._metadata, InUseReport)
            in_use = digests_in_use(reports, manifest.repository) if candidates else set()
            unused = [index.key for index in candidates if index.id not in in_use]
            is_referenced = dict(query_each(self._is_referenced, unused))
            superseded += [index for index in candidates if is_referenced.get(index.key) is False]
            blocking += [index.id for index in page if is_referenced.get(index.key) is not False]
            if len(blocking) >= MAX_INDEXES:
                break
        return blocking[:MAX_INDEXES], [] if blocking else superseded

    def _is_referenced(self, key: Key[Manifest]) -> bool:
        """Return whether a tag or an index references a manifest, or a referrer tag is named after it."""
        if self._referrer_tags(key.repository, key.id):
            return True
        kinds: tuple[tuple[type[Tag | Manifest], str], ...] = ((Tag, "digest"), (Manifest, "children"))
        return any(
            self._metadata.find(Query(kind, {field: key.id}, repository=key.repository, limit=1))
            for kind, field in kinds
        )

    def _referrer_tags(self, repository: str, digest: str) -> dict[str, Tag]:
        """Return the existing referrer tags of a digest, by name."""
        keys = [Key(Tag, tag, repository) for tag in referrer_tags_of(digest)]
        found = self._metadata.read(keys, content=False)
        return {tag.id: tag for key in keys if (tag := found[key]) is not None}

    def _referrers(self, repository: str, digest: str, referrer_tags: Mapping[str, Tag]) -> Iterator[Manifest]:
        """Yield the referrers of a manifest, by their subject or by a tag that attaches them, without content."""
        yield from find_all(self._metadata, Manifest, {"subject": digest}, repository)
        digests = dict.fromkeys(tag.digest for tag in referrer_tags.values())
        keys = [Key(Manifest, each, repository) for each in digests]
        found = self._metadata.read(keys, content=False)
        manifests = [manifest for key in keys if (manifest := found[key]) is not None]
        for manifest in with_attachments(self._metadata, manifests):
            tags = [tag.id for tag in referrer_tags.values() if tag.digest == manifest.id]
            if any(attaches(tag, manifest.subject, manifest.attachment) for tag in tags):
                yield manifest


def with_attachments(metadata: MetadataStore, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield manifests with their `attachment`, derived from their content if an earlier release wrote them."""
    unknown = [manifest for manifest in manifests if not manifest.attachment]
    yield from (manifest for manifest in manifests if manifest.attachment)
    for batch in batches(unknown, lambda manifest: min(manifest.size, MAX_CONTENT_SIZE)):
        found = metadata.read([manifest.key for manifest in batch])
        for manifest in batch:
            yield replace(manifest, attachment=_attachment(found[manifest.key]))


def _attachment(manifest: Manifest | None) -> str:
    # A manifest that the metadata store does not hold itself is larger than those that signers write.
    if manifest is None or manifest.content is None:
        return NOT_ATTACHED
    try:
        return attachment_of(parse_manifest(manifest.content, manifest.media_type).cosign_suffix, ())
    except RegistryError:
        # An earlier release accepted it.
        return NOT_ATTACHED
