"""What the bytes of a manifest say.

Only what the registry must know is read: what the manifest is, what it needs, what it refers to. Everything else is the
client's, and is kept byte for byte. A layer's `urls` are never followed (CVE-2020-15157).
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

NONDISTRIBUTABLE: Final = frozenset(
    {
        "application/vnd.oci.image.layer.nondistributable.v1.tar",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.foreign.diff.tar",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    }
)
"""Layers that their owners do not let anyone push: a manifest may name them all the same."""

MAX_MEDIA_TYPE_LENGTH: Final = 255
"""Characters: each half of one has at most 127 (RFC 6838, section 4.2)."""

MAX_REFERENCES: Final = 5_000
"""So that one commit can touch all that a manifest names, and one Firestore document list it."""


@dataclass(frozen=True, slots=True)
class ParsedManifest:
    """What a manifest says. `blobs` and `children` are digests, each once, in order; `subject` is a digest or "".

    `external` are those of the blobs that are nothing but layers with `urls`, of a type that may be distributed.
    `cosign_suffix` is the suffix of the tags under which cosign would put it (referring.kind_of), or "".
    """

    media_type: str
    artifact_type: str
    subject: str
    cosign_suffix: str
    blobs: tuple[str, ...]
    external_layers: tuple[str, ...]
    children: tuple[str, ...]
    annotations: Mapping[str, str]


def parse_manifest(content: bytes, content_type: str) -> ParsedManifest:
    """Read a manifest that was sent as `content_type` ("" where none was given).

    Raises MANIFEST_INVALID, saying why.
    """
    fields = _json_object(content)
    media_type = _media_type(fields, content_type)
    _refuse_ambiguous(fields, media_type)
    descriptors = _descriptors(fields, media_type)
    if len(descriptors) > MAX_REFERENCES:
        raise _invalid(f"names more than {MAX_REFERENCES} descriptors")
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
    )


def normalize_media_type(media_type: str) -> str:
    """Return a media type in lower case: types and subtypes have none (RFC 6838, section 4.2; RFC 9110, section 8.3.1).

    Only ASCII has two cases here: what is no media type stays as it is.
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
        # UnicodeDecodeError and JSONDecodeError are ValueErrors, and so is an absurdly long number.
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
    """Raise MANIFEST_INVALID where a client may take one field for another one of `names`."""
    if found := field_names.find_confusable(fields, names):
        name, other = found
        raise _invalid(f"has {where}the name {field_names.quoted(name)}, which some clients read as {other}")


def _media_type(fields: dict[str, Any], content_type: str) -> str:
    """Return the media type, on which the body and the Content-Type must agree (CVE-2021-41190).

    Null and "" are no mediaType: Go's clients cannot tell either from an absent one.
    """
    sent = normalize_media_type(content_type.partition(";")[0].strip())
    said = sent if fields.get("mediaType") in (None, "") else fields["mediaType"]
    if not isinstance(said, str) or normalize_media_type(said) not in MEDIA_TYPES:
        raise _invalid("has a media type that is not a manifest's")
    if sent and sent != normalize_media_type(said):
        raise _invalid("has a mediaType other than its Content-Type")
    return normalize_media_type(said)


def _refuse_ambiguous(fields: dict[str, Any], media_type: str) -> None:
    """An image that is also an index would be two things to two clients (CVE-2021-41190)."""
    # BuildKit's cache indexes hold a `config` beside their `manifests`, so that alone is let through.
    if ("layers" if media_type in INDEXES else "manifests") in fields:
        raise _invalid("is both an image and an index")


def _descriptors(fields: dict[str, Any], media_type: str) -> list[dict[str, Any]]:
    """All descriptors that a manifest of this type needs; its `subject` it does not need."""
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
        raise _invalid(f"has {name} that are not a list")
    return [_descriptor(item, name) for item in items]


def _descriptor(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(f"has in {where} what is not a descriptor")
    size = value.get("size", 0)
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise _invalid(f"has in {where} a size that is not a number of bytes")
    if not isinstance(value.get("mediaType"), str | None):
        raise _invalid(f"has in {where} a mediaType that is not text")
    _refuse_confusable(value, field_names.DESCRIPTOR, f"in {where} ")
    if isinstance(platform := value.get("platform"), dict):
        _refuse_confusable(platform, field_names.PLATFORM, f"in a platform of {where} ")
    return value


def _digest(descriptor: dict[str, Any]) -> str:
    """Return the digest of a descriptor.

    Of an algorithm that the registry does not take, it can only be a subject's: nothing else of that digest is there.
    """
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or not is_well_formed(digest):
        raise _invalid("has a descriptor without a well-formed digest")
    return digest


def _external_layers(fields: dict[str, Any]) -> tuple[str, ...]:
    """Return the digests of an image's layers that say where else they are, each time that they are named."""
    layers = [layer for layer in _list(fields, "layers") if _kind(layer) not in NONDISTRIBUTABLE]
    here = {_digest(fields["config"]), *(_digest(layer) for layer in layers if not layer.get("urls"))}
    return tuple(dict.fromkeys(digest for layer in layers if (digest := _digest(layer)) not in here))


def _kind(descriptor: dict[str, Any]) -> str:
    """Return the media type of what a descriptor describes, or ""."""
    return normalize_media_type(descriptor.get("mediaType") or "")


def _artifact_type(fields: dict[str, Any], media_type: str) -> str:
    """Return the manifest's own artifactType, else an image's config's media type, as end-12 wants it.

    An index or an artifact has no config: what stands there is an extension.
    """
    config = fields.get("config") if media_type in IMAGES else None
    candidates = (fields.get("artifactType"), config.get("mediaType") if isinstance(config, dict) else None)
    texts = ["" if candidate is None else candidate for candidate in candidates]
    for text in texts:
        # `isascii` also keeps half a surrogate pair out, which no store could keep.
        if not isinstance(text, str) or len(text) > MAX_MEDIA_TYPE_LENGTH or not text.isascii():
            raise _invalid("has an artifactType that is not a media type")
    return texts[0] or texts[1]


def _cosign_suffix(fields: dict[str, Any]) -> str:
    return cosign_suffix([_kind(layer) for layer in _list(fields, "layers")])


def _annotations(fields: dict[str, Any]) -> dict[str, str]:
    annotations = fields.get("annotations")
    if annotations is None:
        return {}
    if not isinstance(annotations, dict) or not all(isinstance(value, str) for value in annotations.values()):
        raise _invalid("has annotations that are not texts")
    return annotations


def _invalid(reason: str) -> RegistryError:
    return RegistryError(MANIFEST_INVALID, {"reason": f"the manifest {reason}"})
