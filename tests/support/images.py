"""Content for tests: blobs and manifests, made on the spot."""

import json
import secrets
from typing import Any

from lading.registry.content.manifest_format import OCI_INDEX, OCI_MANIFEST
from lading_storage.digests import digest_of

EMPTY_CONFIG = b"{}"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


def blob(size: int = 100) -> bytes:
    """Bytes that no other blob has."""
    return secrets.token_bytes(size)


def descriptor(content: bytes, media_type: str = LAYER_TYPE, algorithm: str = "sha256") -> dict[str, Any]:
    """A descriptor of `content`."""
    return {"mediaType": media_type, "digest": digest_of(content, algorithm), "size": len(content)}


def manifest(layers: list[bytes], config: bytes = EMPTY_CONFIG, **fields: Any) -> bytes:
    """An OCI image manifest; `fields` are added as they are."""
    described = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, CONFIG_TYPE),
        "layers": [descriptor(layer) for layer in layers],
    }
    return json.dumps(described | fields).encode()


def signature(layer: bytes, media_type: str, **fields: Any) -> bytes:
    """A manifest as cosign puts it under a tag: an image with a layer of a media type of its own."""
    described = json.loads(manifest([], **fields))
    return json.dumps(described | {"layers": [descriptor(layer, media_type)]}).encode()


def index(manifests: list[bytes], **fields: Any) -> bytes:
    """An OCI image index; `fields` are added as they are."""
    described = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(each, json.loads(each)["mediaType"]) for each in manifests],
    }
    return json.dumps(described | fields).encode()
