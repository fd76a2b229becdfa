"""What a manifest says about its parts, for people: read leniently, since an earlier release may have accepted it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lading.registry.content.manifest_format import IMAGE_CONFIGS, INDEXES, MEDIA_TYPES

ATTESTATION: Final = "vnd.docker.reference.type"
"""Annotation of BuildKit's attestations, which stand in an index beside the images."""


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Descriptor of a blob or manifest; `platform` is OS/ARCHITECTURE[/VARIANT], an attestation's type, or ""."""

    digest: str
    media_type: str
    size: int
    platform: str = ""


@dataclass(frozen=True, slots=True)
class ManifestContents:
    """Parts of a manifest, and its annotations."""

    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @property
    def blobs(self) -> Mapping[str, int]:
        """The sizes of the blobs, by digest."""
        parts = [*([self.config] if self.config else []), *self.layers]
        return {part.digest: part.size for part in parts}


def read_contents(content: bytes, media_type: str) -> ManifestContents:
    """Return the parts of a manifest; those that are not well-formed are left out."""
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        fields = {}
    fields = fields if isinstance(fields, dict) else {}
    is_index = media_type in INDEXES
    entries = tuple(_descriptors(fields.get("manifests"))) if is_index else ()
    # BuildKit's cache indexes list layers beside manifests; an OCI artifact's blobs are like layers.
    layers = () if is_index else tuple(_descriptors([*_list(fields.get("layers")), *_list(fields.get("blobs"))]))
    return ManifestContents(
        config=next(_descriptors([fields.get("config")]), None) if not is_index else None,
        layers=(*layers, *(entry for entry in entries if entry.media_type not in MEDIA_TYPES)),
        manifests=tuple(entry for entry in entries if entry.media_type in MEDIA_TYPES),
        annotations=texts(fields.get("annotations")),
    )


def is_image(contents: ManifestContents) -> bool:
    """Return whether a manifest is one of an image, as far as its parts say: attestations have the same config."""
    has_documents_only = bool(contents.layers) and all(each.media_type.endswith("json") for each in contents.layers)
    return contents.config is not None and contents.config.media_type in IMAGE_CONFIGS and not has_documents_only


def platform_of(fields: Any) -> str:
    """Return OS/ARCHITECTURE[/VARIANT] of a platform or an image's configuration, or ""."""
    if not isinstance(fields, dict):
        return ""
    parts = [fields.get(name) for name in ("os", "architecture", "variant")]
    return "/".join(part for part in parts if isinstance(part, str) and part)


def texts(fields: Any) -> dict[str, str]:
    """Return the texts of an object by their names, without other values."""
    return {name: value for name, value in fields.items() if isinstance(value, str)} if isinstance(fields, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _descriptors(values: Any) -> Iterator[Descriptor]:
    for value in _list(values):
        if not isinstance(value, dict):
            continue
        # A put takes a descriptor without a size as well, which some runtimes do not need.
        digest, media_type, size = value.get("digest"), value.get("mediaType"), value.get("size", 0)
        if isinstance(digest, str) and isinstance(size, int):
            platform = texts(value.get("annotations")).get(ATTESTATION) or platform_of(value.get("platform"))
            yield Descriptor(digest, media_type.lower() if isinstance(media_type, str) else "", size, platform)
