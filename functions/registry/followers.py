"""What goes with a manifest that a person deletes: whatever refers to it and has no other name.

A referrer says so itself, or was created under its tag (registry.referring). Of a manifest that a tag merely names as
if it referred, the tag alone goes: else a caller with the right to push could have any manifest deleted by a tag.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from functions.registry.batches import batches
from functions.registry.documents import parse
from functions.registry.errors import RegistryError
from functions.registry.pages import find_all
from functions.registry.referring import NOT_ATTACHED, attaches, attachment_of, tags_of
from storage.protocols import MOST_CONTENT, MetadataStore
from storage.records import Key, Manifest, Tag

MAX_INDEXES: Final = 10
"""Indexes that are named to a caller who may not delete what they hold."""


@dataclass(frozen=True, slots=True)
class Going:
    """What is deleted with a manifest.

    manifests  the manifest, and what goes with it: each before what refers to it
    tags       that name one of these
    dangling   tags that name another manifest, and attach it to nothing once these are gone
    """

    manifests: Sequence[Manifest]
    tags: Sequence[Tag]
    dangling: Sequence[Tag]


class Followers:
    """Finds what refers to a manifest. Each manifest is read first, and what names it second (registry.manifests)."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Look in `metadata`."""
        self._metadata = metadata

    def of(self, root: Manifest) -> Going:
        """Return what is deleted with `root`: its referrers and theirs, unless another tag or an index names them."""
        going, tags, attached = {root.id: root}, self.tags(root), dict[str, Tag]()
        queue = [root.id]
        for digest in queue:
            made_of = self._made_of(root.repository, digest)
            attached |= made_of
            for follower in self._referrers(root.repository, digest, made_of):
                if follower.id in going:
                    continue
                names = self.tags(follower)
                if names.keys() <= set(tags_of(digest)) and not self.indexes(follower):
                    going[follower.id] = follower
                    tags |= names
                    queue.append(follower.id)
        dangling = [tag for tag in attached.values() if tag.digest not in going]
        return Going([*going.values()], [*tags.values()], dangling)

    def tags(self, manifest: Manifest) -> dict[str, Tag]:
        """All tags that name a manifest, by name."""
        found = find_all(self._metadata, Tag, {"digest": manifest.id}, manifest.repository)
        return {tag.id: tag for tag in found}

    def indexes(self, manifest: Manifest) -> list[str]:
        """The digests of some live indexes that name a manifest."""
        where = {"children": manifest.id}
        found = self._metadata.find(Manifest, where, repository=manifest.repository, limit=MAX_INDEXES)
        return [index.id for index in found]

    def _made_of(self, repository: str, digest: str) -> dict[str, Tag]:
        """The tags that are made of a digest, by name."""
        keys = [Key(Tag, tag, repository) for tag in tags_of(digest)]
        found = self._metadata.read(keys, content=False)
        return {tag.id: tag for key in keys if (tag := found[key]) is not None}

    def _referrers(self, repository: str, digest: str, made_of: Mapping[str, Tag]) -> Iterator[Manifest]:
        """Yield all that refers to a manifest, by its subject or by a tag that attaches it; without content."""
        yield from find_all(self._metadata, Manifest, {"subject": digest}, repository)
        keys = [Key(Manifest, named, repository) for named in dict.fromkeys(tag.digest for tag in made_of.values())]
        found = self._metadata.read(keys, content=False)
        there = [manifest for key in keys if (manifest := found[key]) is not None]
        for manifest in with_attachments(self._metadata, there):
            named = [tag.id for tag in made_of.values() if tag.digest == manifest.id]
            if any(attaches(tag, manifest.subject, manifest.attachment) for tag in named):
                yield manifest


def with_attachments(metadata: MetadataStore, manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """Yield manifests with their `attachment`: of those that an earlier release wrote, as their content says."""
    unknown = [manifest for manifest in manifests if not manifest.attachment]
    yield from (manifest for manifest in manifests if manifest.attachment)
    for some in batches(unknown, lambda manifest: min(manifest.size, MOST_CONTENT)):
        found = metadata.read([manifest.key for manifest in some])
        for manifest in some:
            yield replace(manifest, attachment=_attachment(found[manifest.key]))


def _attachment(manifest: Manifest | None) -> str:
    # What the metadata store does not hold itself is larger than what signers write.
    if manifest is None or manifest.content is None:
        return NOT_ATTACHED
    try:
        return attachment_of(parse(manifest.content, manifest.media_type).attached_kind, ())
    except RegistryError:
        # An earlier release was less strict.
        return NOT_ATTACHED
