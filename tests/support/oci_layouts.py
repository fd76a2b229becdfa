"""Images as OCI image layouts (image-spec, image-layout.md), which every client can read, and some write."""

import gzip
import hashlib
import io
import json
import secrets
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lading.registry.content.manifest_format import OCI_INDEX, OCI_MANIFEST
from lading_storage.digests import digest_of
from tests.support.images import CONFIG_TYPE, LAYER_TYPE, descriptor

USERS_NAMES = ("Platform", "Size", "Data", "Digest", "manifest\u017f", "layers", "LAYERS", "name", "Name")
"""Names of annotations as users write them (helm copies Chart.yaml): like fields, or like one another, in any case."""


@dataclass(frozen=True)
class Layout:
    """A folder with one image, tagged `v1`: its manifest's bytes, and all its blobs by digest."""

    folder: Path
    manifest: bytes
    blobs: dict[str, bytes]

    @property
    def digest(self) -> str:
        """The digest of the manifest."""
        return digest_of(self.manifest)


def write_image(folder: Path, contents: list[bytes], **fields: Any) -> Layout:
    """An image with a layer for each of `contents`; b"" gives a layer without a file. No two images are the same.

    fields  what else its manifest says
    """
    tars = [_tar(f"file{number}", content) for number, content in enumerate([*contents, secrets.token_bytes(9)])]
    layers = [gzip.compress(tar, mtime=0) for tar in tars]
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {
                "type": "layers",
                "diff_ids": [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars],
            },
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": descriptor(config, CONFIG_TYPE),
            "layers": [descriptor(layer, f"{LAYER_TYPE}+gzip") for layer in layers],
            **fields,
        }
    ).encode()
    blobs = {digest_of(content): content for content in (config, *layers)}
    _write(folder, {**blobs, digest_of(manifest): manifest}, descriptor(manifest, OCI_MANIFEST))
    return Layout(folder, manifest, blobs)


def write_index(folder: Path, images: list[Layout]) -> Layout:
    """An index of images, whose manifests are among its blobs."""
    manifests = [
        {**descriptor(image.manifest, OCI_MANIFEST), "platform": {"os": "linux", "architecture": architecture}}
        for image, architecture in zip(images, ("amd64", "arm64"), strict=True)
    ]
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()
    blobs = {digest: content for image in images for digest, content in image.blobs.items()}
    blobs |= {image.digest: image.manifest for image in images}
    _write(folder, {**blobs, digest_of(index): index}, descriptor(index, OCI_INDEX))
    return Layout(folder, index, blobs)


def read_blobs(folder: Path) -> dict[str, bytes]:
    """All blobs and manifests of a layout that a client wrote, by digest."""
    return {f"sha256:{path.name}": path.read_bytes() for path in (folder / "blobs" / "sha256").iterdir()}


def _write(folder: Path, contents: dict[str, bytes], named: dict[str, Any]) -> None:
    (folder / "blobs" / "sha256").mkdir(parents=True)
    for digest, content in contents.items():
        (folder / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(content)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    named = {**named, "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named]}))


def _tar(name: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        if content:
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return archive.getvalue()
