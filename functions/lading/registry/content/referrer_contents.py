"""Contents of what is attached to a manifest: the newest referrers of some types, and what cosign puts under a tag.

    subject ──query, one read──▶ manifests, newest first ──▶ layers ──blob by blob──▶ bytes, within limits

Who may push can attach anything: nothing of it is trusted, and everything is limited.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from lading.registry.content.blobs import Blobs
from lading.registry.content.manifest_contents import texts
from lading.registry.content.manifests import Manifests
from lading.registry.errors import RegistryError
from lading.registry.names import check_digest
from lading_storage.digests import algorithm_of, digest_of
from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.protocols import MetadataStore
from lading_storage.query import Query
from lading_storage.records.core import Key, Manifest, Tag

MAX_REFERRERS: Final = 1_000
"""Referrers of a manifest that are listed."""

MAX_MANIFEST: Final = 256 * 1024
"""Bytes of a manifest that is read."""


class ContentUnreadable(Exception):
    """Content cannot be read; the message is a clause that says why.

    Attributes:
        may_return: whether it may be readable later: its bytes are missing or damaged.
    """

    def __init__(self, reason: str, *, may_return: bool = False) -> None:
        """Say why."""
        super().__init__(reason)
        self.may_return = may_return


@dataclass(frozen=True, slots=True)
class ReferrerLayer:
    """Layer of a manifest, as that describes it.

    Attributes:
        media_type: in lower case.
        digest: as it is written.
        size: as it is written, in bytes.
        annotations: its own.
        inherited: those of the manifest.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    inherited: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which manifests are wanted that are attached to another one.

    Attributes:
        types: of the referrers, in lower case.
        tag: that attaches a manifest as well, which comes first; "" for none.
        limit: the maximum number of referrers.
        excluded: the digests of referrers that are not wanted.
        first: the digests of referrers that come before all others, and are not among the number.
    """

    types: Collection[str]
    tag: str
    limit: int
    excluded: Collection[str] = ()
    first: Sequence[str] = ()

    def includes(self, manifest: Manifest) -> bool:
        """Return whether a referrer is wanted. Earlier releases recorded types as they were pushed."""
        return manifest.artifact_type.lower() in self.types and manifest.id not in self.excluded


class ReferrerContents:
    """Contents of the referrers of one registry."""

    def __init__(self, metadata: MetadataStore, manifests: Manifests, blobs: Blobs) -> None:
        """Read from these."""
        self._metadata = metadata
        self._manifests = manifests
        self._blobs = blobs

    def newest(self, repository: str, subject: str, wanted: Wanted) -> tuple[list[Manifest | Tag], int]:
        """Return manifests that are attached to a subject, with their content, and the number of those left out."""
        query = Query(Manifest, {"subject": subject}, repository=repository, limit=MAX_REFERRERS)
        all_listed = self._metadata.find(query)
        listed = [each for each in all_listed if wanted.includes(each)]
        listed.sort(key=lambda each: (each.created, each.id), reverse=True)
        first = [Key(Manifest, each, repository) for each in wanted.first]
        others = [each.key for each in listed if each.size <= MAX_MANIFEST and each.key not in first]
        tags = [Key(Tag, wanted.tag, repository)] if wanted.tag else []
        keys: list[Key[Any]] = [*first, *tags, *others[: wanted.limit]]
        found = self._metadata.read(keys) if keys else None
        manifests = [each for key in keys if found is not None and (each := found[key]) is not None]
        read = {each.key for each in manifests}
        omitted = sum(each.key not in read for each in listed) + (len(all_listed) == MAX_REFERRERS)
        return [
            each for each in manifests if each.size <= MAX_MANIFEST and _is_attached(each, subject, wanted)
        ], omitted

    def layers(self, manifest: Manifest | Tag) -> Sequence[ReferrerLayer]:
        """Return the layers of a manifest, the last one first: cosign appends new ones.

        What is not well-formed is left out. Raises ContentUnreadable.
        """
        try:
            fields = json.loads(self._manifests.content(manifest))
        except (RegistryError, ObjectNotFound, Corrupt):
            raise ContentUnreadable("its bytes are missing or damaged", may_return=True) from None
        except (ValueError, RecursionError):
            return []
        layers = fields.get("layers") if isinstance(fields, dict) else None
        if not isinstance(layers, list):
            return []
        inherited = texts(fields.get("annotations"))
        return [each for layer in reversed(layers) if (each := _layer(layer, inherited)) is not None]

    def content(self, repository: str, layer: ReferrerLayer, limit: int) -> bytes:
        """Return the bytes of a layer. Raises ContentUnreadable if they are missing, or more than `limit`."""
        if layer.size > limit:
            raise ContentUnreadable(f"it has more than {limit >> 20} MiB")
        try:
            check_digest(layer.digest)
            link = self._blobs.get(repository, layer.digest)
            if link.size != layer.size:
                raise ContentUnreadable("its size is not the one that its manifest states")
            content = b"".join(self._blobs.open(link, 0, link.size))
        except (RegistryError, ObjectNotFound, Corrupt):
            raise ContentUnreadable("its bytes are missing or damaged", may_return=True) from None
        if digest_of(content, algorithm_of(layer.digest)) != layer.digest:
            raise ContentUnreadable("its bytes are missing or damaged", may_return=True)
        return content


def _is_attached(manifest: Manifest | Tag, subject: str, wanted: Wanted) -> bool:
    """Return whether a manifest is one that was listed, or could have been, or what a tag attaches."""
    return isinstance(manifest, Tag) or (manifest.subject == subject and wanted.includes(manifest))


def _layer(fields: Any, inherited: Mapping[str, str]) -> ReferrerLayer | None:
    if not isinstance(fields, dict):
        return None
    media_type, digest, size = (fields.get(name) for name in ("mediaType", "digest", "size"))
    if not isinstance(digest, str) or not isinstance(size, int) or size < 0:
        return None
    named = media_type.lower() if isinstance(media_type, str) else ""
    return ReferrerLayer(named, digest, size, texts(fields.get("annotations")), inherited)
