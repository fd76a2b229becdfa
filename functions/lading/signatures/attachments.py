"""Manifests that are signatures or attestations by their content: those that cosign 1 and 2 put under tags.

    manifest ──attachment_layers──▶ layers, small and of closed types ──the caller reads them──▶ is_attachment

A manifest's subject, artifactType, annotations and tag say nothing about whether it runs: runtimes ignore them. Content
of these layers cannot: each is JSON to its last byte, which is no program, and no archive. JSON can be one: the first
name in an object can be all of the header of a tar file, which podman unpacks whatever the layer's type is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lading.signatures.cosign_legacy import digest_in
from lading.signatures.dsse import PAYLOAD_TYPE
from lading.signatures.signature import SIMPLE_SIGNING, NotVerified
from lading.signatures.strict_json import decode_base64, parse_object

ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
LAYER_TYPES: Final = frozenset({SIMPLE_SIGNING, ENVELOPE})

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"

MAX_LAYER: Final = 1024 * 1024
MAX_LAYERS: Final = 50
MAX_SIGNATURES: Final = 10
"""Bytes of a layer, layers of a manifest, and signatures of an envelope."""

TAR_HEADER: Final = 512
TAR_SUM: Final = slice(148, 156)
"""Bytes of the header of a tar file, and where in it their sum is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentLayer:
    """Layer of a manifest that may be an attachment.

    Attributes:
        media_type: SIMPLE_SIGNING or ENVELOPE.
        digest: of its content.
        size: bytes, at most MAX_LAYER.
        annotations: as Candidate has them.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str]


def attachment_layers(manifest: bytes) -> tuple[AttachmentLayer, ...]:
    """Return the layers of a manifest that may be an attachment, or () if it is something else."""
    try:
        fields = parse_object(manifest, "manifest")
        if fields.get("mediaType", MANIFEST_TYPE) != MANIFEST_TYPE or "manifests" in fields:
            return ()
        match fields:
            case {"config": {"mediaType": str(config)}, "layers": [_, *_] as layers} if config == CONFIG_TYPE:
                if len(layers) <= MAX_LAYERS:
                    return tuple(map(_layer, layers))
    except NotVerified:
        pass
    return ()


def _layer(layer: object) -> AttachmentLayer:
    """Return a layer. Raises NotVerified if it is none of an attachment."""
    match layer:
        case {"mediaType": str(media_type), "digest": str(digest), "size": int(size), **others}:
            annotations: Any = others.get("annotations", {})
            if media_type in LAYER_TYPES and 0 < size <= MAX_LAYER and _are_texts(annotations):
                return AttachmentLayer(media_type=media_type, digest=digest, size=size, annotations=annotations)
    raise NotVerified("a layer is none of an attachment")


def _are_texts(annotations: object) -> bool:
    return isinstance(annotations, dict) and all(isinstance(each, str) for each in annotations.values())


def is_attachment(layers: Sequence[AttachmentLayer], contents: Sequence[bytes]) -> bool:
    """Return whether layers are signatures or attestations, each of them.

    Args:
        layers: all that `attachment_layers` returned.
        contents: of each of them.
    """
    if not layers or len(layers) != len(contents):
        return False
    try:
        for layer, content in zip(layers, contents, strict=True):
            if len(content) != layer.size or is_tar(content):
                return False
            if layer.media_type == SIMPLE_SIGNING:
                digest_in(content)
            else:
                _check_envelope(content)
    except NotVerified:
        return False
    return True


def is_tar(content: bytes) -> bool:
    """Return whether a content begins with the header of a tar file, of any kind: its sum is right."""
    header = content[:TAR_HEADER]
    if len(header) < TAR_HEADER:
        return False
    try:
        recorded = int(header[TAR_SUM].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    others = header[: TAR_SUM.start] + b" " * 8 + header[TAR_SUM.stop :]
    # Some programs add the bytes as signed ones.
    return recorded in (sum(others), sum(each - 256 if each > 127 else each for each in others))


def _check_envelope(content: bytes) -> None:
    """Check that a content is an envelope of DSSE with a statement of in-toto. Raises NotVerified."""
    envelope = parse_object(content, "envelope")
    match envelope:
        case {"payloadType": str(payload_type), "payload": payload, "signatures": [_, *_] as signatures}:
            if payload_type == PAYLOAD_TYPE and len(signatures) <= MAX_SIGNATURES:
                decode_base64(payload, "payload")
                return
    raise NotVerified("it is no envelope of a statement")
