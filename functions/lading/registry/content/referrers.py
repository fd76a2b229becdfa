"""Referrers of a manifest: the manifests that have it as their `subject` (end-12)."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from lading.registry.content.manifest_format import MAX_MEDIA_TYPE_LENGTH, normalize_media_type, parse_manifest
from lading.registry.errors import RegistryError
from lading.registry.pagination import Page
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import BlobStore, MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Manifest

MAX_REFERRERS: Final = 1_000
MAX_REFERRERS_SIZE: Final = 4 * 1024 * 1024
"""Manifests in one page, and their bytes in total unless the page has one manifest."""


@dataclass(frozen=True, slots=True)
class Referrer:
    """Referrer, as the referrers API describes it (end-12)."""

    manifest: Manifest
    artifact_type: str
    annotations: Mapping[str, str]


class Referrers:
    """Referrers of all repositories."""

    def __init__(self, blobs: BlobStore, metadata: MetadataStore) -> None:
        """Read records from `metadata`, and larger manifests from `blobs`."""
        self._blobs = blobs
        self._metadata = metadata

    def list_page(self, repository: str, subject: str, artifact_type: str, after: str) -> Page[Referrer]:
        """Return a page of the manifests that refer to `subject` (end-12).

        Args:
            repository: where they are.
            subject: a digest; a manifest that does not exist has no referrers.
            artifact_type: the type to select, or "" for all.
            after: the digest after which the page begins, or "".
        """
        if len(artifact_type) > MAX_MEDIA_TYPE_LENGTH:
            return Page([])
        listed = self._find(repository, subject, artifact_type, after)
        sizes = accumulate(manifest.size for manifest in listed[:MAX_REFERRERS])
        count = max(1, sum(size <= MAX_REFERRERS_SIZE for size in sizes))
        found = self._metadata.read([manifest.key for manifest in listed[:count]])
        existing = [manifest for each in listed[:count] if (manifest := found[each.key]) is not None]
        return Page(
            [self._describe(manifest) for manifest in existing],
            listed[count - 1].id if len(listed) > count else "",
        )

    def _find(self, repository: str, subject: str, artifact_type: str, after: str) -> list[Manifest]:
        """Return the records of the referrers: one more than a page holds.

        Types are recorded in lower case. An earlier release recorded them as they were pushed, so the requested
        spelling is searched for as well.
        """
        manifests: list[Manifest] = []
        for spelling in dict.fromkeys((normalize_media_type(artifact_type), artifact_type)):
            where = {"subject": subject} | ({"artifact_type": spelling} if spelling else {})
            query = Query(Manifest, where, repository=repository, after=after, limit=MAX_REFERRERS + 1)
            manifests += self._metadata.find(query)
        return sorted(manifests, key=lambda manifest: manifest.id)[: MAX_REFERRERS + 1]

    def _describe(self, manifest: Manifest) -> Referrer:
        """Describe a referrer by its content, or, if that cannot be read, by its record."""
        content = manifest.content
        # A lost manifest, or one that only an earlier release accepted, must not hide the others.
        with contextlib.suppress(ObjectNotFound, Corrupt, RegistryError):
            content = b"".join(self._blobs.open(manifest.object, 0, manifest.size)) if content is None else content
            if digest_of(content, algorithm_of(manifest.id)) == manifest.id:
                document = parse_manifest(content, manifest.media_type)
                return Referrer(manifest, document.artifact_type, document.annotations)
        return Referrer(manifest, manifest.artifact_type, {})
