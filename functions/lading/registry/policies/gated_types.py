"""Manifests that policies gate: all that any runtime may run as an image.

Not gated is a closed list, each item of which every runtime refuses (tests/clients/test_gated_types.py runs them):

    an index with no field of   its manifests are gated, unless it embeds one or has a URL of it (`data`, `urls`):
    an image                    containerd does not request that here. Below another index that calls it an image,
                                containerd 2 reads its `config`, and runs it where a node has the layers
    an OCI artifact manifest    no runtime knows the media type, and nothing else is in it: docker 20 reads an unknown
    with no field of another    type as its schema 1, and containerd takes the type of what is below an index from that
    an OCI manifest whose       podman and CRI-O refuse the type, whatever the content is; containerd and docker refuse
    config is the empty object, the content, which has no layers. Neither is enough alone: Kubernetes with containerd
    by one of EMPTY_TYPES       runs any type of config, and podman compares no layer with the config

What a manifest says of itself otherwise is no reason: a subject, an artifactType, annotations, types of layers, a tag.
Signatures of cosign 1 and 2 have the config of an image: their content decides (Trust.attachment).
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from lading.registry.content.manifest_format import INDEXES, OCI_ARTIFACT, OCI_MANIFEST, parse_manifest
from lading.registry.errors import RegistryError

ARTIFACT_FIELDS: Final = frozenset({"schemaVersion", "mediaType", "artifactType", "blobs", "subject", "annotations"})
"""All fields of an OCI artifact manifest that is not gated."""

IMAGE_FIELDS: Final = frozenset({"config", "layers", "fslayers", "history"})
"""Fields, in lower case, by which a runtime reads a manifest as an image: OCI's and docker's, and those of schema 1."""

EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY_TYPES: Final = frozenset(
    {EMPTY_TYPE, "application/vnd.cncf.notary.signature", "application/vnd.unknown.config.v1+json"}
)
"""Types of the empty object as a config: by the image-spec, of notation's signatures, and of artifacts of oras 1.0."""

EMPTY_DIGEST: Final = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
"""Of the two bytes `{}` (image-spec, manifest.md, "Guidance for an Empty Descriptor")."""

MAX_KNOWN: Final = 20_000
"""Manifests of which it is known whether they are gated; the bytes of a digest never change."""


class GatedTypes:
    """Which manifests are gated, by their content. Thread-safe."""

    def __init__(self) -> None:
        """Know none so far."""
        self._known: dict[tuple[str, str], bool] = {}

    def known(self, digest: str, media_type: str) -> bool | None:
        """Return whether a manifest is gated, or None: its content has to tell."""
        return self._known.get((digest, media_type))

    def of(self, digest: str, media_type: str, content: bytes) -> bool:
        """Return whether a manifest is gated."""
        if len(self._known) >= MAX_KNOWN:
            self._known = {}
        gated = self._known[digest, media_type] = is_gated(media_type, content)
        return gated


def is_gated(media_type: str, content: bytes) -> bool:
    """Return whether a manifest is gated. What is not well-formed is: a client may read it in another way."""
    try:
        # The checks of a put, which an earlier release may not have made: no name twice, or in another case.
        parse_manifest(content, media_type)
        fields = json.loads(content)
    except (RegistryError, ValueError, RecursionError):
        return True
    if media_type == OCI_ARTIFACT:
        return not fields.keys() <= ARTIFACT_FIELDS
    if media_type in INDEXES:
        elsewhere = (each.get(name) for each in fields.get("manifests") or () for name in ("data", "urls"))
        # Go's decoder reads names in any case.
        return not IMAGE_FIELDS.isdisjoint(map(str.casefold, fields)) or any(each is not None for each in elsewhere)
    return media_type != OCI_MANIFEST or not _is_empty(fields["config"])


def _is_empty(config: Mapping[str, Any]) -> bool:
    # As podman does, by the exact type: another case of its letters is another type.
    return config.get("mediaType") in EMPTY_TYPES and config.get("digest") == EMPTY_DIGEST
