"""Manifests that are signatures or attestations by their content: those of cosign 1 and 2, and of BuildKit.

    manifest ──attachment_parts──▶ a config, and layers of closed types ──the caller reads them──▶ is_attachment

A manifest's subject, artifactType, annotations and tag say nothing about whether it runs: runtimes ignore them. Content
of these layers cannot: each is JSON to its last byte, which is no program, and no archive. JSON can be one: the first
name in an object can be all of the header of a tar file, which podman unpacks whatever the layer's type is.

The config is the layers' own: docker and containerd run what a config names, once a node has that from another image,
and then request no layer. It says nothing of a container: containerd 1.7 takes no JSON for a layer, and would start an
empty container with any command, which finds programs in the volumes of a pod.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lading.signatures.cosign_legacy import digest_in
from lading.signatures.dsse import PAYLOAD_TYPE
from lading.signatures.signature import SIMPLE_SIGNING, NotVerified
from lading.signatures.strict_json import decode_base64, parse_object

ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
STATEMENT: Final = "application/vnd.in-toto+json"
"""Type of BuildKit's attestations, which have no signature: `docker buildx build` adds them to an index by default."""

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/"

MANIFEST_TYPE: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE: Final = "application/vnd.oci.image.config.v1+json"

MAX_CONFIG: Final = 64 * 1024
MAX_LAYER: Final = 1024 * 1024
MAX_STATEMENT: Final = 4 * 1024 * 1024
MAX_LAYERS: Final = 50
MAX_SIGNATURES: Final = 10
"""Bytes of a config, a layer and a statement; layers of a manifest, and signatures of an envelope."""

MAX_SIZES: Final = {SIMPLE_SIGNING: MAX_LAYER, ENVELOPE: MAX_LAYER, STATEMENT: MAX_STATEMENT}
"""Bytes of a layer, by its type."""

MAX_CONTAINERS: Final = 100_000
"""Objects and arrays of a statement, such as an SBOM: each takes some 100 bytes of memory."""

TAR_HEADER: Final = 512
TAR_SUM: Final = slice(148, 156)
"""Bytes of the header of a tar file, and where in it their sum is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachmentPart:
    """Config or layer of a manifest that may be an attachment.

    Attributes:
        media_type: CONFIG_TYPE, or one of MAX_SIZES.
        digest: of its content.
        size: bytes, limited by its type.
        annotations: as Candidate has them.
    """

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class AttachmentParts:
    """Parts of a manifest that may be an attachment."""

    config: AttachmentPart
    layers: tuple[AttachmentPart, ...]

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(each.size for each in (self.config, *self.layers))


def attachment_parts(manifest: bytes) -> AttachmentParts | None:
    """Return the parts of a manifest that may be an attachment, or None if it is something else."""
    try:
        fields = parse_object(manifest, "manifest")
        if fields.get("mediaType", MANIFEST_TYPE) != MANIFEST_TYPE or "manifests" in fields:
            return None
        match fields:
            case {"config": config, "layers": [_, *_] as layers} if len(layers) <= MAX_LAYERS:
                parts = tuple(_part(each, MAX_SIZES) for each in layers)
                return AttachmentParts(_part(config, {CONFIG_TYPE: MAX_CONFIG}), parts)
    except NotVerified:
        pass
    return None


def _part(described: object, maximums: Mapping[str, int]) -> AttachmentPart:
    """Return a part of one of some types. Raises NotVerified if it is of another one, or too large."""
    match described:
        case {"mediaType": str(media_type), "digest": str(digest), "size": int(size), **others}:
            annotations: Any = others.get("annotations", {})
            if 0 < size <= maximums.get(media_type, 0) and _are_texts(annotations):
                return AttachmentPart(media_type=media_type, digest=digest, size=size, annotations=annotations)
    raise NotVerified("it is none of an attachment")


def _are_texts(annotations: object) -> bool:
    return isinstance(annotations, dict) and all(isinstance(each, str) for each in annotations.values())


def is_attachment(parts: AttachmentParts, config: bytes, contents: Sequence[bytes]) -> bool:
    """Return whether layers are signatures or attestations, each of them, and the config is theirs.

    Args:
        parts: what `attachment_parts` returned.
        config: its content.
        contents: of each layer.
    """
    if not parts.layers or len(parts.layers) != len(contents) or len(config) != parts.config.size:
        return False
    try:
        _check_config(config, contents)
        for layer, content in zip(parts.layers, contents, strict=True):
            if len(content) != layer.size or is_tar(content):
                return False
            CHECKS[layer.media_type](content)
    except NotVerified:
        return False
    return True


def _check_config(config: bytes, contents: Sequence[bytes]) -> None:
    """Check that a config names no layers but those with some contents, and no command. Raises NotVerified.

    Programs in Go take a name in any case for it, the last one.
    """
    fields = parse_object(config, "config")
    for name, value in fields.items():
        if name.casefold() == "config" and value not in ({}, None):
            raise NotVerified("the config says how to run it")
        if name.casefold() != "rootfs":
            continue
        named = [each for each in value if each.casefold() == "diff_ids"] if isinstance(value, dict) else []
        if name != "rootfs" or named != ["diff_ids"] or value["diff_ids"] != [*map(_diff_id, contents)]:
            raise NotVerified("the config names other layers")


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


def _diff_id(content: bytes) -> str:
    """Return the name that a config has for a layer that is not compressed."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _check_statement(content: bytes) -> None:
    """Check that a content is a statement of in-toto. Raises NotVerified."""
    if content.count(b"{") + content.count(b"[") <= MAX_CONTAINERS:
        try:
            fields = json.loads(content.decode())
        except (ValueError, RecursionError):
            fields = None
        if isinstance(fields, dict) and str(fields.get("_type")).startswith(STATEMENT_TYPE):
            return
    raise NotVerified("it is no statement")


CHECKS: Final = {SIMPLE_SIGNING: digest_in, ENVELOPE: _check_envelope, STATEMENT: _check_statement}
"""What a layer of each type has to be; raises NotVerified."""
