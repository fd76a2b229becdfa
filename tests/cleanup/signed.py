"""Images as builders and signers push them: an index of platforms, with attestations, signatures and SBOMs."""

import json
from dataclasses import dataclass
from functools import partial

from functions.registry.registry import Registry
from storage.digests import digest_of
from tests import images
from tests.registry.pushes import push_blob, push_manifest

PLATFORMS = ("amd64", "arm64")


@dataclass(frozen=True)
class Signed:
    """The digests of one image and of all that hangs on it."""

    index: str
    platforms: tuple[str, ...]
    signature: str
    sbom: str
    platform_signature: str

    @property
    def all(self) -> set[str]:
        return {self.index, *self.platforms, self.signature, self.sbom, self.platform_signature}


def push_signed(registry: Registry, repository: str, *tags: str, base: bytes = b"base") -> Signed:
    """Push a multi-arch image with a layer for each platform above a common `base`, and with all that signers add."""
    push = partial(_push, registry, repository)
    for content in (images.EMPTY_CONFIG, base):
        push_blob(registry, repository, content)
    layers = [images.blob() for _ in PLATFORMS]
    manifests = [images.manifest([base, layer]) for layer in layers]
    platforms = tuple(push(manifest, layer) for manifest, layer in zip(manifests, layers, strict=True))
    index = images.index(manifests)
    push_manifest(registry, repository, index, *tags)
    return Signed(
        index=digest_of(index),
        platforms=platforms,
        signature=_sign(registry, repository, index),
        sbom=_describe(registry, repository, index),
        platform_signature=_sign(registry, repository, manifests[0]),
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
