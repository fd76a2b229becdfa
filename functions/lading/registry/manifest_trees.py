"""Manifests and all manifests below them, read level by level for their sizes and parts."""

import contextlib
from collections.abc import Sequence
from typing import Final

from lading.registry.content.manifest_contents import ManifestContents, read_contents
from lading.registry.content.manifests import Manifests
from lading.registry.errors import RegistryError
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest

MAX_DEPTH: Final = 3
"""Levels that are read; an index of indexes has three."""

BATCH_SIZE: Final = 50
"""Manifests read at once with their bytes, which are up to MAX_CONTENT_SIZE each."""

MAX_MANIFESTS: Final = 2_000
"""Manifests that are read at most, however many an index names."""

MAX_BYTES: Final = 64 * 2**20
"""Bytes of manifests after which no further batch is read."""

EMPTY: Final = ManifestContents(None, (), (), {})


class ManifestTrees:
    """Some manifests of a repository, and those below them.

    records   by digest, without `content`; those that are not in the repository are missing
    contents  by digest; those whose bytes cannot be read are missing
    skipped   digests that were not read, since MAX_MANIFESTS or MAX_BYTES were: what contains them has no size
    """

    def __init__(self, metadata: MetadataStore, manifests: Manifests, repository: str, roots: Sequence[str]) -> None:
        """Read the manifests `roots`, given by digest: a batch of reads for each level."""
        self.records: dict[str, Manifest] = {}
        self.contents: dict[str, ManifestContents] = {}
        self.skipped: set[str] = set()
        self._metadata = metadata
        self._manifests = manifests
        level = list(roots)
        for _ in range(MAX_DEPTH):
            remaining = max(0, MAX_MANIFESTS - len(self.records))
            self.skipped.update(level[remaining:])
            level = level[:remaining]
            for start in range(0, len(level), BATCH_SIZE):
                if sum(each.size for each in self.records.values()) > MAX_BYTES:
                    self.skipped.update(level[start:])
                    break
                self._read([Key(Manifest, digest, repository) for digest in level[start : start + BATCH_SIZE]])
            below = (part.digest for each in level for part in self.contents_of(each).manifests)
            level = [digest for digest in dict.fromkeys(below) if digest not in self.records]

    def contents_of(self, digest: str) -> ManifestContents:
        """Return the parts of a manifest; none where it cannot be read."""
        return self.contents.get(digest, EMPTY)

    def size(self, digest: str) -> int | None:
        """Return the bytes of a manifest and everything below it, each once; None where it cannot be read."""
        if digest not in self.contents:
            return None
        reached, waiting, blobs = {digest}, [digest], dict[str, int]()
        while waiting:
            contents = self.contents_of(waiting.pop())
            blobs |= contents.blobs
            if any(part.digest in self.skipped for part in contents.manifests):
                return None
            below = {part.digest for part in contents.manifests} & self.records.keys() - reached
            reached |= below
            waiting += below
        return sum(blobs.values()) + sum(self.records[each].size for each in reached)

    def _read(self, keys: Sequence[Key[Manifest]]) -> None:
        found = self._metadata.read(keys)
        for key in keys:
            if (manifest := found[key]) is None:
                continue
            with contextlib.suppress(ObjectNotFound, Corrupt, RegistryError):
                content = self._manifests.content(manifest)
                if manifest.object and digest_of(content, algorithm_of(key.id)) != key.id:
                    raise Corrupt(f"{manifest.object} does not hold {key.id}")
                self.contents[key.id] = read_contents(content, manifest.media_type)
            self.records[key.id] = manifest
