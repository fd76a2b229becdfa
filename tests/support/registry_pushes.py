"""Pushing into a Registry, as tests do it again and again."""

from lading.registry.content.manifests import Put
from lading.registry.content.uploads import Body
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.records.core import Link, Manifest
from tests.support import images


def push_blob(registry: Registry, repository: str, content: bytes, algorithm: str = "sha256") -> Link:
    """Push a blob in one go."""
    upload = registry.uploads.start(repository)
    return registry.uploads.finish(repository, upload.id, digest_of(content, algorithm), Body([content]))


def push_manifest(registry: Registry, repository: str, content: bytes, *tags: str) -> Manifest:
    """Push a manifest by digest, with tags; all that it needs must be there."""
    return registry.manifests.put(repository, Put(content, "", digest_of(content), tags))


def push_image(registry: Registry, repository: str, *tags: str, layers: int = 1) -> Manifest:
    """Push an image of new layers."""
    contents = [images.blob() for _ in range(layers)]
    for content in (images.EMPTY_CONFIG, *contents):
        push_blob(registry, repository, content)
    return push_manifest(registry, repository, images.manifest(contents), *tags)


def pull_blob(registry: Registry, repository: str, digest: str) -> bytes:
    """All bytes of a blob."""
    link = registry.blobs.get(repository, digest)
    return b"".join(registry.blobs.open(link, 0, link.size))
