"""Images as builders and signers push them: an index of platforms, with attestations, signatures and SBOMs."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.registry_pushes import push_blob, push_manifest

PLATFORMS = ("amd64", "arm64")

Make = Callable[[bytes], tuple[list[bytes], bytes]]
"""Makes an image above a base layer: answers its blobs, and its manifest."""


def opaque_image(base: bytes) -> tuple[list[bytes], bytes]:
    """An image that only a registry takes for one: its layers are any bytes."""
    layer = images.blob()
    return [images.EMPTY_CONFIG, base, layer], images.manifest([base, layer])


def runnable_image(base: bytes) -> tuple[list[bytes], bytes]:
    """An image that clients find in order: its layers are archives, which its config knows. `base` is one of them."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        content = images.blob()
        entry = tarfile.TarInfo("file")
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    layers = [base, gzip.compress(archive.getvalue(), mtime=0)]
    unpacked = [f"sha256:{hashlib.sha256(gzip.decompress(layer)).hexdigest()}" for layer in layers]
    rootfs = {"type": "layers", "diff_ids": unpacked}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    manifest = json.loads(images.manifest(layers, config))
    for layer in manifest["layers"]:
        layer["mediaType"] += "+gzip"
    return [config, *layers], json.dumps(manifest).encode()


@dataclass(frozen=True)
class SignedImage:
    """The digests of one image and of all that hangs on it."""

    index: str
    platforms: tuple[str, ...]
    signature: str
    sbom: str
    platform_signature: str

    @property
    def all(self) -> set[str]:
        return {self.index, *self.platforms, self.signature, self.sbom, self.platform_signature}


def push_signed_image(
    registry: Registry, repository: str, *tags: str, base: bytes = b"base", make: Make = opaque_image
) -> SignedImage:
    """Push a multi-arch image with a layer for each platform above a common `base`, and with all that signers add."""
    made = [make(base) for _ in PLATFORMS]
    for blob in {blob for blobs, _ in made for blob in (*blobs, images.EMPTY_CONFIG)}:
        push_blob(registry, repository, blob)
    manifests = [manifest for _, manifest in made]
    platforms = tuple(push_manifest(registry, repository, manifest).digest for manifest in manifests)
    index = images.index(manifests)
    push_manifest(registry, repository, index, *tags)
    sign = partial(_sign, registry, repository)
    return SignedImage(
        digest_of(index), platforms, sign(index), _describe(registry, repository, index), sign(manifests[0])
    )


def _push(registry: Registry, repository: str, manifest: bytes, layer: bytes, *tags: str) -> str:
    push_blob(registry, repository, layer)
    return push_manifest(registry, repository, manifest, *tags).digest


def _sign(registry: Registry, repository: str, subject: bytes) -> str:
    """As cosign does it: a manifest under a tag made of the subject's digest."""
    payload = json.dumps({"critical": {"image": {"docker-manifest-digest": digest_of(subject)}}}).encode()
    tag = digest_of(subject).replace(":", "-") + ".sig"
    return _push(registry, repository, images.manifest([payload]), payload, tag)


def _describe(registry: Registry, repository: str, subject: bytes) -> str:
    """As oras attaches an SBOM: a manifest with a subject."""
    sbom = images.blob()
    described = images.descriptor(subject, json.loads(subject)["mediaType"])
    manifest = images.manifest([sbom], subject=described, artifactType="application/spdx+json")
    return _push(registry, repository, manifest, sbom)
