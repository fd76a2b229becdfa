"""Format of manifests: parsing and validation.

Only what the registry needs is parsed: the manifest's type, its dependencies, and its subject. Everything else belongs
to the client, and is stored byte for byte. A layer's `urls` are never followed (CVE-2020-15157).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lading.registry.content import field_names
from lading.registry.content.referrer_tags import cosign_suffix
from lading.registry.errors import MANIFEST_INVALID, RegistryError
from lading_storage.digests import is_well_formed

OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
OCI_ARTIFACT: Final = "application/vnd.oci.artifact.manifest.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"

IMAGES: Final = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES: Final = frozenset({OCI_INDEX, DOCKER_LIST})
MEDIA_TYPES: Final = IMAGES | INDEXES | {OCI_ARTIFACT}

IMAGE_CONFIGS: Final = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
"""Media types of the configurations of images that run. Signatures and attestations often use them as well."""

NONDISTRIBUTABLE: Final = frozenset(
    {
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)
"""Layers whose license forbids pushing them: a manifest may reference them although they are missing."""

MAX_MEDIA_TYPE_LENGTH: Final = 255
"""Characters: the type and the subtype have at most 127 each (RFC 6838, section 4.2)."""

MAX_REFERENCES: Final = 5_000
"""Descriptors in one manifest, so that one commit can touch all of them, and one Firestore document list them."""


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    """Fields of a manifest that the registry uses.

    subject          a digest, or ""
    cosign_suffix    the suffix of the tags under which cosign would push it (referrer_tags.cosign_suffix), or ""
    blobs            distinct digests, in order
    external_layers  those blobs that are only layers with `urls`, of a type that may be distributed
    children         distinct digests, in order
    is_runnable      whether a client may run it as an image
    """

    media_type: str
    artifact_type: str
    subject: str
    cosign_suffix: str
    blobs: tuple[str, ...]
    external_layers: tuple[str, ...]
    children: tuple[str, ...]
    annotations: Mapping[str, str]
    is_runnable: bool = False


def parse_manifest(content: bytes, content_type: str) -> ParsedManifest:
    """Parse a manifest.

    Args:
        content: its bytes.
        content_type: as the client sent it, or "".

    Raises:
        RegistryError: MANIFEST_INVALID, with the reason.
    """
    fields = _json_object(content)
    media_type = _media_type(fields, content_type)
    _refuse_ambiguous(fields, media_type)
    descriptors = _descriptors(fields, media_type)
    if len(descriptors) > MAX_REFERENCES:
        raise _invalid(f"has more than {MAX_REFERENCES} descriptors")
    blobs, children = {}, {}
    for descriptor in descriptors:
        digest, kind = _digest(descriptor), _kind(descriptor)
        # BuildKit's cache manifests are indexes that list layers: such an entry is a blob.
        if media_type in INDEXES and kind in MEDIA_TYPES:
            children[digest] = True
        elif kind not in NONDISTRIBUTABLE:
            blobs[digest] = True
    subject = fields.get("subject")
    return ParsedManifest(
        media_type=media_type,
        artifact_type=_artifact_type(fields, media_type),
        subject=_digest(_descriptor(subject, "subject")) if subject is not None else "",
        cosign_suffix=_cosign_suffix(fields) if media_type in IMAGES else "",
        blobs=tuple(blobs),
        external_layers=_external_layers(fields) if media_type in IMAGES else (),
        children=tuple(children),
        annotations=_annotations(fields),
        is_runnable=media_type in IMAGES and subject is None and _is_runnable(fields),
    )


def normalize_media_type(media_type: str) -> str:
    """Return a media type in lower case, since it is case-insensitive (RFC 6838, section 4.2; RFC 9110, section 8.3.1).

    Text that is not ASCII is no media type, and is returned unchanged.
    """
    return media_type.lower() if media_type.isascii() else media_type


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(
            content.decode(), object_pairs_hook=field_names.unique_members, parse_constant=_refuse_constant
        )
    except field_names.DuplicateName as error:
        raise _invalid(str(error)) from None
    except (ValueError, RecursionError) as error:
        # UnicodeDecodeError and JSONDecodeError are ValueErrors, and so is the error about an overlong number.
        raise _invalid("is not JSON") from error
    if not isinstance(fields, dict):
        raise _invalid("is not a JSON object")
    _refuse_confusable(fields, field_names.DOCUMENT, "")
    version = fields.get("schemaVersion", 2)
    if not isinstance(version, int) or version != 2:
        raise _invalid("has a schemaVersion other than 2")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse_confusable(fields: dict[str, Any], names: frozenset[str], where: str) -> None:
    """Raise MANIFEST_INVALID if a client may read a field as another one of `names`."""
    if pair := field_names.find_confusable(fields, names):
        name, other = pair
        raise _invalid(f"has {where}the name {field_names.quoted(name)}, which some clients read as {other}")


def _media_type(fields: dict[str, Any], content_type: str) -> str:
    """Return the media type, on which the body and the Content-Type must agree (CVE-2021-41190).

    Null and "" count as no mediaType: Go clients cannot distinguish them from an absent one.
    """
    from_header = normalize_media_type(content_type.partition(";")[0].strip())
    media_type = from_header if fields.get("mediaType") in (None, "") else fields["mediaType"]
    if not isinstance(media_type, str) or normalize_media_type(media_type) not in MEDIA_TYPES:
        raise _invalid("has a media type that is not a manifest's")
    if from_header and from_header != normalize_media_type(media_type):
        raise _invalid("has a mediaType other than its Content-Type")
    return normalize_media_type(media_type)


def _refuse_ambiguous(fields: dict[str, Any], media_type: str) -> None:
    """Raise MANIFEST_INVALID if one client may read an image where another one reads an index (CVE-2021-41190)."""
    # BuildKit's cache indexes have a `config` beside their `manifests`, so that alone is allowed.
    if ("layers" if media_type in INDEXES else "manifests") in fields:
        raise _invalid("is both an image and an index")


def _descriptors(fields: dict[str, Any], media_type: str) -> list[dict[str, Any]]:
    """Return the descriptors of all that a manifest of this type needs, which its `subject` is not."""
    if media_type in INDEXES:
        return _list(fields, "manifests")
    if media_type == OCI_ARTIFACT:
        return _list(fields, "blobs")
    if "config" not in fields or "layers" not in fields:
        raise _invalid("has no config or no layers")
    return [_descriptor(fields["config"], "config"), *_list(fields, "layers")]


def _list(fields: dict[str, Any], name: str) -> list[dict[str, Any]]:
    items = fields.get(name)
    if items is None:
        items = []
    if not isinstance(items, list):
        raise _invalid(f"has {name} that is not a list")
    return [_descriptor(item, name) for item in items]


def _descriptor(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(f"has in {where} a value that is not a descriptor")
    size = value.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _invalid(f"has in {where} a size that is not a number of bytes")
    if not isinstance(value.get("mediaType"), str | None):
        raise _invalid(f"has in {where} a mediaType that is not a string")
    _refuse_confusable(value, field_names.DESCRIPTOR, f"in {where} ")
    if isinstance(platform := value.get("platform"), dict):
        _refuse_confusable(platform, field_names.PLATFORM, f"in a platform of {where} ")
    return value


def _digest(descriptor: dict[str, Any]) -> str:
    """Return the digest of a descriptor.

    Only a subject can have an unsupported algorithm: nothing else with such a digest exists in the registry.
    """
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or not is_well_formed(digest):
        raise _invalid("has a descriptor without a well-formed digest")
    return digest


def _external_layers(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the digests of those layers of an image that have `urls` in each of their descriptors."""
    layers = [layer for layer in _list(fields, "layers") if _kind(layer) not in NONDISTRIBUTABLE]
    internal = {_digest(fields["config"]), *(_digest(layer) for layer in layers if not layer.get("urls"))}
    return tuple(dict.fromkeys(digest for layer in layers if (digest := _digest(layer)) not in internal))


def _kind(descriptor: dict[str, Any]) -> str:
    """Return the media type in a descriptor, or ""."""
    return normalize_media_type(descriptor.get("mediaType") or "")


def _artifact_type(fields: dict[str, Any], media_type: str) -> str:
    """Return the manifest's own artifactType, else the media type of an image's config, as end-12 requires.

    An index or an artifact has no config: such a field is an extension.
    """
    config = fields.get("config") if media_type in IMAGES else None
    candidates = (fields.get("artifactType"), config.get("mediaType") if isinstance(config, dict) else None)
    texts = ["" if candidate is None else candidate for candidate in candidates]
    for text in texts:
        # `isascii` also rejects half a surrogate pair, which no store could keep.
        if not isinstance(text, str) or len(text) > MAX_MEDIA_TYPE_LENGTH or not text.isascii():
            raise _invalid("has an artifactType that is not a media type")
    return texts[0] or texts[1]


def _is_runnable(fields: dict[str, Any]) -> bool:
    """Return whether a manifest has the config of an image, and not only documents as layers.

    Clients find the format of a layer by its first bytes, so that an unknown media type may be a file system. Those of
    cosign's signatures and BuildKit's attestations end with "json".
    """
    kinds = [_kind(layer) for layer in _list(fields, "layers")]
    has_documents_only = bool(kinds) and all(kind.endswith("json") for kind in kinds)
    return _kind(fields["config"]) in IMAGE_CONFIGS and not has_documents_only


def _cosign_suffix(fields: dict[str, Any]) -> str:
    return cosign_suffix([_kind(layer) for layer in _list(fields, "layers")])


def _annotations(fields: dict[str, Any]) -> dict[str, str]:
    annotations = fields.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise _invalid("has annotations that are not strings")
    return annotations


def _invalid(reason: str) -> RegistryError:
    return RegistryError(MANIFEST_INVALID, {"reason": f"the manifest {reason}"})
