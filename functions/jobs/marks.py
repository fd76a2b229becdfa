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

from functions.registry.attempts import settle
from functions.registry.damage import cleared
from functions.registry.needs import needs_of
from functions.registry.pages import find_all
from storage.errors import Conflict
from storage.protocols import Found, MetadataStore, Replace, Touch
from storage.records import Blob, Key, Link, Manifest, Tag

MAX_AT_ONCE: Final = 1_000
"""Manifests that hint at the mark of a blob as soon as it is marked."""


class Marks:
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
        while self._match_all(blob.id, bool(damage)):
            continue
        for manifest in islice(self._manifests_of(blob.id), MAX_AT_ONCE):
            if manifest.damaged != bool(damage):
                self.match_manifest(manifest.key)
        return True

    def match(self, link: Link) -> bool:
        """Let a link hint at its blob's mark; returns whether that was wrong."""
        return settle(lambda: self._try_to_match(link.key))

    def match_manifest(self, key: Key[Manifest]) -> bool:
        """Let a manifest hint at what its links and children hint at; returns whether that was wrong.

        Then so do its tags, the indexes above it, and their tags.
        """
        changed = [key] if settle(lambda: self._try_to_match_manifest(key)) else []
        for each in changed:
            for tag in find_all(self._metadata, Tag, {"digest": each.id}, each.repository):
                self.match_tag(tag.key)
            for index in find_all(self._metadata, Manifest, {"children": each.id}, each.repository):
                if settle(lambda above=index.key: self._try_to_match_manifest(above)):  # type: ignore[misc]
                    changed.append(index.key)
        return bool(changed)

    def match_tag(self, key: Key[Tag]) -> bool:
        """Let a tag hint at what its manifest hints at; returns whether that was wrong."""
        return settle(lambda: self._try_to_match_tag(key))

    def _match_all(self, digest: str, damaged: bool) -> int:
        """Look at each link of a blob once; returns how many hinted wrongly."""
        return sum(self.match(link) for link in self._links_of(digest) if link.damaged != damaged)

    def _try_to_match(self, key: Key[Link]) -> bool:
        blob_key = Key(Blob, key.id)
        found = self._metadata.read([key, blob_key])
        link, blob = found[key], found[blob_key]
        if link is None or blob is None or link.damaged == bool(blob.damaged):
            return False
        self._metadata.commit([Replace(replace(link, damaged=True))] if blob.damaged else cleared(link, blob))
        return True

    def _links_of(self, digest: str) -> Iterator[Link]:
        return find_all(self._metadata, Link, {"id": digest}, None)

    def _try_to_match_manifest(self, key: Key[Manifest]) -> bool:
        manifest = self._metadata.read([key])[key]
        if manifest is None:
            return False
        # Read after the manifest: whoever puts it again, and so says that all is good, changes its version.
        hints = hints_at_damage(manifest, self._metadata.read(needs_of(manifest), content=False))
        if manifest.damaged == hints:
            return False
        self._metadata.commit([Replace(replace(manifest, damaged=hints))])
        return True

    def _try_to_match_tag(self, key: Key[Tag]) -> bool:
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


def hints_at_damage(manifest: Manifest, found: Found) -> bool:
    """Return whether a link or child that a manifest needs hints at damage; `found` has all of `needs_of`."""
    needed: list[Link | Manifest | None] = [found[key] for key in needs_of(manifest)]
    return any(record is not None and record.damaged for record in needed)
