"""What goes with a manifest that a person deletes: whatever refers to it and has no other name.

A referrer says so itself, or was created under its tag (registry.referring). Of a manifest that a tag merely names as
if it referred, the tag alone goes: else a caller with the right to push could have any manifest deleted by a tag.

The other way, an index goes with a child where it was superseded: no tag leads to it any longer, and nothing else does.
Clients that keep lists of referrers under a tag (oras) leave one behind with each change, and delete children then.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from lading.registry.batches import batches
from lading.registry.cleanup.in_use import digests_in_use
from lading.registry.content.manifest_format import parse_manifest
from lading.registry.content.referrer_tags import (
    NOT_ATTACHED,
    attaches,
    attachment_of,
    is_pushed_for_tags,
    referrer_tags_of,
)
from lading.registry.errors import RegistryError
from lading.registry.fan_out import ask_each
from lading.registry.pagination import find_all, scan_all
from lading_storage.protocols import MAX_CONTENT_SIZE, MetadataStore
from lading_storage.records.core import Key, Manifest, Tag
from lading_storage.records.jobs import InUseReport

BATCH_SIZE: Final = 100
"""Indexes that are looked at together."""

MAX_INDEXES: Final = 10
"""Indexes that are named to a caller who may not delete what they hold."""


@dataclass(frozen=True, slots=True)
class DeletionSet:
    """What is deleted with a manifest.

    manifests  the manifest, and what goes with it: each before what refers to it
    tags       that name one of these
    dangling   tags that name another manifest, and attach it to nothing once these are gone
    """

    manifests: Sequence[Manifest]
    tags: Sequence[Tag]
    dangling: Sequence[Tag]


class Dependents:
    """Finds what refers to a manifest. Each manifest is read first, and what names it second (registry.manifests)."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Look in `metadata`."""
        self._metadata = metadata

    def of(self, root: Manifest, indexes: Sequence[Manifest] = ()) -> DeletionSet:
        """Return what is deleted with a manifest: referrers, and theirs, unless another tag or an index names them.

        Args:
            root: the manifest.
            indexes: those that name it and were superseded; they go along, and what refers to them.
        """
        going = {manifest.id: manifest for manifest in (root, *indexes)}
        tags, attached = self.tags(root), dict[str, Tag]()
        queue = [*going]
        for digest in queue:
            made_of = self._referrer_tags(root.repository, digest)
            attached |= made_of
            for follower in self._referrers(root.repository, digest, made_of):
                if follower.id in going:
                    continue
                names = self.tags(follower)
                if names.keys() <= set(referrer_tags_of(digest)) and not self.indexes(follower):
                    going[follower.id] = follower
                    tags |= names
                    queue.append(follower.id)
        dangling = [tag for tag in attached.values() if tag.digest not in going]
        return DeletionSet([*going.values()], [*tags.values()], dangling)

    def tags(self, manifest: Manifest) -> dict[str, Tag]:
        """All tags that name a manifest, by name."""
        found = find_all(self._metadata, Tag, {"digest": manifest.id}, manifest.repository)
        return {tag.id: tag for tag in found}

    def indexes(self, manifest: Manifest) -> list[str]:
        """The digests of some live indexes that name a manifest."""
        where = {"children": manifest.id}
        found = self._metadata.find(Manifest, where, repository=manifest.repository, limit=MAX_INDEXES)
        return [index.id for index in found]

    def blocking_indexes(self, manifest: Manifest) -> tuple[list[str], list[Manifest]]:
        """Return the digests of some live indexes that keep a manifest; where there are none, those that name it.

        An index keeps its children, unless it was superseded: each push gave it a tag, it has none now, and neither an
        index nor a subject nor an in-use report leads to it. One that was pushed by digest alone is pulled by that.
        """
        keeping: list[str] = []
        superseded: list[Manifest] = []
        found = find_all(self._metadata, Manifest, {"children": manifest.id}, manifest.repository)
        while page := list(islice(found, BATCH_SIZE)):
            loose = [index for index in page if not index.subject and is_pushed_for_tags(index.attachment)]
            in_use = digests_in_use(scan_all(self._metadata, InUseReport), manifest.repository) if loose else set()
            held = dict(ask_each(self._is_referenced, [index.key for index in loose if index.id not in in_use]))
            superseded += [index for index in loose if held.get(index.key) is False]
            keeping += [index.id for index in page if held.get(index.key) is not False]
            if len(keeping) >= MAX_INDEXES:
                break
        return keeping[:MAX_INDEXES], [] if keeping else superseded

    def _is_referenced(self, key: Key[Manifest]) -> bool:
        """Return whether a tag or an index names a manifest."""
        asked: tuple[tuple[type[Tag | Manifest], str], ...] = ((Tag, "digest"), (Manifest, "children"))
        return any(self._metadata.find(kind, {by: key.id}, repository=key.repository, limit=1) for kind, by in asked)

    def _referrer_tags(self, repository: str, digest: str) -> dict[str, Tag]:
        """The tags that are made of a digest, by name."""
        keys = [Key(Tag, tag, repository) for tag in referrer_tags_of(digest)]
        found = self._metadata.read(keys, content=False)
        return {tag.id: tag for key in keys if (tag := found[key]) is not None}

    def _referrers(self, repository: str, digest: str, referrer_tags: Mapping[str, Tag]) -> Iterator[Manifest]:
        """Yield all that refers to a manifest, by its subject or by a tag that attaches it; without content."""
        yield from find_all(self._metadata, Manifest, {"subject": digest}, repository)
        keys = [
            Key(Manifest, named, repository) for named in dict.fromkeys(tag.digest for tag in referrer_tags.values())
        ]
        found = self._metadata.read(keys, content=False)
        there = [manifest for key in keys if (manifest := found[key]) is not None]
        for manifest in with_attachments(self._metadata, there):
            named = [tag.id for tag in referrer_tags.values() if tag.digest == manifest.id]
            if any(attaches(tag, manifest.subject, manifest.attachment) for tag in named):
                yield manifest


def with_attachments(metadata: MetadataStore, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield manifests with their `attachment`: of those that an earlier release wrote, as their content says."""
    unknown = [manifest for manifest in manifests if not manifest.attachment]
    yield from (manifest for manifest in manifests if manifest.attachment)
    for some in batches(unknown, lambda manifest: min(manifest.size, MAX_CONTENT_SIZE)):
        found = metadata.read([manifest.key for manifest in some])
        for manifest in some:
            yield replace(manifest, attachment=_attachment(found[manifest.key]))


def _attachment(manifest: Manifest | None) -> str:
    # What the metadata store does not hold itself is larger than what signers write.
    if manifest is None or manifest.content is None:
        return NOT_ATTACHED
    try:
        return attachment_of(parse_manifest(manifest.content, manifest.media_type).cosign_suffix, ())
    except RegistryError:
        # An earlier release was less strict.
        return NOT_ATTACHED
