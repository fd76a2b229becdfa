"""ImagesBelow: the images that a manifest stands for: those of an index, however deep, else itself."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from lading.registry.content.manifest_contents import is_image, read_contents
from lading.registry.content.manifest_format import INDEXES
from lading.registry.policies.gated_types import is_gated
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Manifest, Tag

MAX_IMAGES: Final = 100
"""Manifests below one index that are judged."""


class TooManyImages(Exception):
    """An index has more than MAX_IMAGES manifests below it."""


class ImagesBelow:
    """Images below the manifests of one registry."""

    def __init__(self, metadata: MetadataStore, content: Callable[[Manifest | Tag], bytes]) -> None:
        """Read from `metadata`. `content` returns the bytes of a manifest."""
        self._metadata = metadata
        self._content = content

    def of(self, manifest: Manifest) -> list[Manifest]:
        """Return the images of a manifest. What says that it is something else is gated when it is pulled.

        Raises TooManyImages.
        """
        content = manifest.content if manifest.content is not None else self._content(manifest)
        if manifest.media_type not in INDEXES or is_gated(manifest.media_type, content):
            return [manifest]
        return list(self._below(manifest)) or [manifest]

    def _below(self, index: Manifest) -> Iterator[Manifest]:
        """Yield the images below an index, level by level."""
        pending, seen = list(index.children), set(index.children)
        while pending:
            if len(seen) > MAX_IMAGES:
                raise TooManyImages
            keys: list[Key[Any]] = [Key(Manifest, digest, index.repository) for digest in pending]
            found = self._metadata.read(keys)
            records = [record for key in keys if (record := found[key]) is not None]
            pending = []
            for record in records:
                if record.media_type in INDEXES:
                    pending += [each for each in record.children if each not in seen]
                    seen.update(record.children)
                elif is_image(read_contents(self._content(record), record.media_type)):
                    yield record
