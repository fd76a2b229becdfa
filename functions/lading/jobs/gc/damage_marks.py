"""Damage marks: mark blobs whose object is missing or damaged, so that clients push them again; and remove the marks.

The blob's record is written first and is authoritative. Then each link to the blob gets a flag, which is a hint to read
that record (lading.registry.content.damage). A process that is stopped in between leaves links without the hint. The
next scrub corrects them: it checks the links of every marked blob, and in a phase of its own the hint of every link.

Then the manifests that name the blob in the repositories that link it, the indexes that name those, and the tags of
all of these get the hint, children before parents. Any number of manifests can name the layer of a base image, so only
the first of them are updated immediately. The phases of a scrub update all others, a page at a time, and what an
interrupted update left: they check the hint of every manifest and tag.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

from lading.registry.content.damage import clear_hint
from lading.registry.content.dependencies import dependencies_of
from lading.registry.pagination import find_all
from lading.registry.retry import retry_on_conflict
from lading_storage.errors import Conflict
from lading_storage.protocols import Found, MetadataStore, Replace, Touch
from lading_storage.records.core import Blob, Key, Link, Manifest, Tag

MAX_IMMEDIATE_UPDATES: Final = 1_000
"""Manifests whose hint is updated as soon as a blob is marked."""


class DamageMarks:
    """The damage marks of the blobs of one registry."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Mark in `metadata`."""
        self._metadata = metadata

    def set(self, blob: Blob, damage: str) -> bool:
        """Set the mark of a blob, and the hints at it.

        Args:
            blob: the record as it was read.
            damage: "missing", "damaged", or "" to remove the mark.

        Returns:
            False, with nothing changed, if the record has changed since `blob` was read: it may have another object,
            or its object may have been replaced.
        """
        if blob.damaged != damage:
            try:
                self._metadata.commit([Replace(replace(blob, damaged=damage))])
            except Conflict:
                return False
        # A mount in progress may have read the link of another repository before that was marked: repeat.
        while self._update_link_hints(blob.id, bool(damage)):
            continue
        for manifest in islice(self._manifests_of(blob.id), MAX_IMMEDIATE_UPDATES):
            if manifest.damaged != bool(damage):
                self.update_manifest_hint(manifest.key)
        return True

    def update_link_hint(self, link: Link) -> bool:
        """Set the hint of a link by its blob's mark; return whether it was wrong."""
        return retry_on_conflict(lambda: self._try_to_update_link(link.key))

    def update_manifest_hint(self, key: Key[Manifest]) -> bool:
        """Set the hint of a manifest by those of its links and children; return whether it was wrong.

        If it was, update its tags, the indexes that name it, and their tags as well.
        """
        changed = [key] if retry_on_conflict(lambda: self._try_to_update_manifest(key)) else []
        for each in changed:
            for tag in find_all(self._metadata, Tag, {"digest": each.id}, each.repository):
                self.update_tag_hint(tag.key)
            for index in find_all(self._metadata, Manifest, {"children": each.id}, each.repository):
                if retry_on_conflict(lambda parent=index.key: self._try_to_update_manifest(parent)):  # type: ignore[misc]
                    changed.append(index.key)
        return bool(changed)

    def update_tag_hint(self, key: Key[Tag]) -> bool:
        """Set the hint of a tag by its manifest's; return whether it was wrong."""
        return retry_on_conflict(lambda: self._try_to_update_tag(key))

    def _update_link_hints(self, digest: str, damaged: bool) -> int:
        """Update each link of a blob once; return how many were wrong."""
        return sum(self.update_link_hint(link) for link in self._links_of(digest) if link.damaged != damaged)

    def _try_to_update_link(self, key: Key[Link]) -> bool:
        blob_key = Key(Blob, key.id)
        found = self._metadata.read([key, blob_key])
        link, blob = found[key], found[blob_key]
        if link is None or blob is None or link.damaged == bool(blob.damaged):
            return False
        self._metadata.commit([Replace(replace(link, damaged=True))] if blob.damaged else clear_hint(link, blob))
        return True

    def _links_of(self, digest: str) -> Iterator[Link]:
        return find_all(self._metadata, Link, {"id": digest}, None)

    def _try_to_update_manifest(self, key: Key[Manifest]) -> bool:
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            return False
        # Read after the manifest: a client that pushes it again, which clears the hint, changes its version.
        hints = has_damage_hint(manifest, self._metadata.read(dependencies_of(manifest), content=False))
        if manifest.damaged == hints:
            return False
        self._metadata.commit([Replace(replace(manifest, damaged=hints))])
        return True

    def _try_to_update_tag(self, key: Key[Tag]) -> bool:
        tag = self._metadata.read([key])[key]
        if tag is None:
            return False
        named = Key(Manifest, tag.digest, tag.repository)
        manifest = self._metadata.read([named], content=False)[named]
        if manifest is None or manifest.damaged == tag.damaged:
            return False
        self._metadata.commit([Replace(replace(tag, damaged=manifest.damaged)), Touch(named, manifest.version)])
        return True

    def _manifests_of(self, digest: str) -> Iterator[Manifest]:
        """Yield all manifests that name a blob, in the repositories that link it."""
        for link in self._links_of(digest):
            yield from find_all(self._metadata, Manifest, {"blobs": digest}, link.repository)


def has_damage_hint(manifest: Manifest, found: Found) -> bool:
    """Return whether a link or child that a manifest needs has the hint; `found` has all of `dependencies_of`."""
    dependencies: list[Link | Manifest | None] = [found[key] for key in dependencies_of(manifest)]
    return any(record is not None and record.damaged for record in dependencies)
