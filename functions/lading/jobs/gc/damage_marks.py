"""Marking blobs whose object is missing or damaged, so that clients push them again; and removing the mark.

The blob's record first, which decides, then each link of it, whose flag is a hint to read that record
(registry.damage). Whoever is stopped in between leaves links without the hint: the next scrub sees to them, since it
looks at the links of every blob that is marked, and in its own phase at the hint of every link.

Then the manifests that name the blob, where it is linked, the indexes above them, and the tags of all of these: what is
below before what is above. A base image's layer can be named by any number of manifests, so only the first of them are
seen to at once. The phases of a scrub see to all others, and to what was left where somebody was stopped, a page at a
time: they look at the hint of every manifest and tag.
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
"""Manifests that hint at the mark of a blob as soon as it is marked."""


class DamageMarks:
    """The marks of one registry's blobs."""

    def __init__(self, metadata: MetadataStore) -> None:
        """Mark in `metadata`."""
        self._metadata = metadata

    def set(self, blob: Blob, damage: str) -> bool:
        """Let the mark of a blob be `damage`, "" for none, and all its links hint at it.

        Returns False, with nothing done, where the record has changed since `blob` was read: its object may be
        another one, or have been put back.
        """
        if blob.damaged != damage:
            try:
                self._metadata.commit([Replace(replace(blob, damaged=damage))])
            except Conflict:
                return False
        # A mount in progress may have read the link of another repository before it was marked: look once more.
        while self._update_link_hints(blob.id, bool(damage)):
            continue
        for manifest in islice(self._manifests_of(blob.id), MAX_IMMEDIATE_UPDATES):
            if manifest.damaged != bool(damage):
                self.update_manifest_hint(manifest.key)
        return True

    def update_link_hint(self, link: Link) -> bool:
        """Let a link hint at its blob's mark; returns whether that was wrong."""
        return retry_on_conflict(lambda: self._try_to_update_link(link.key))

    def update_manifest_hint(self, key: Key[Manifest]) -> bool:
        """Let a manifest hint at what its links and children hint at; returns whether that was wrong.

        Then so do its tags, the indexes above it, and their tags.
        """
        changed = [key] if retry_on_conflict(lambda: self._try_to_update_manifest(key)) else []
        for each in changed:
            for tag in find_all(self._metadata, Tag, {"digest": each.id}, each.repository):
                self.update_tag_hint(tag.key)
            for index in find_all(self._metadata, Manifest, {"children": each.id}, each.repository):
                if retry_on_conflict(lambda above=index.key: self._try_to_update_manifest(above)):  # type: ignore[misc]
                    changed.append(index.key)
        return bool(changed)

    def update_tag_hint(self, key: Key[Tag]) -> bool:
        """Let a tag hint at what its manifest hints at; returns whether that was wrong."""
        return retry_on_conflict(lambda: self._try_to_update_tag(key))

    def _update_link_hints(self, digest: str, damaged: bool) -> int:
        """Look at each link of a blob once; returns how many hinted wrongly."""
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
        # Read after the manifest: whoever puts it again, and so says that all is good, changes its version.
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
        """All manifests that name a blob, where it is linked."""
        for link in self._links_of(digest):
            yield from find_all(self._metadata, Manifest, {"blobs": digest}, link.repository)


def has_damage_hint(manifest: Manifest, found: Found) -> bool:
    """Return whether a link or child that a manifest needs hints at damage; `found` has all of `needs_of`."""
    needed: list[Link | Manifest | None] = [found[key] for key in dependencies_of(manifest)]
    return any(record is not None and record.damaged for record in needed)
