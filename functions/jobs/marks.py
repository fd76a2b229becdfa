"""Marking blobs whose object is missing or damaged, so that clients push them again; and removing the mark.

The blob's record first, which decides, then each link of it, whose flag is a hint to read that record
(registry.damage). Whoever is stopped in between leaves links without the hint: the next scrub sees to them, since it
looks at the links of every blob that is marked, and in its own phase at the hint of every link.
"""

from collections.abc import Iterator
from dataclasses import replace

from functions.registry.attempts import settle
from functions.registry.damage import cleared
from functions.registry.pages import find_all
from storage.errors import Conflict
from storage.protocols import MetadataStore, Replace
from storage.records import Blob, Key, Link


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
        return True

    def match(self, link: Link) -> bool:
        """Let a link hint at its blob's mark; returns whether that was wrong."""
        return settle(lambda: self._try_to_match(link.key))

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
