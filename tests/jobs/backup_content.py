"""Content of each kind in a registry that is backed up, and whether a copy has it all."""

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest
from tests.support import images
from tests.support.registry_pushes import pull_blob, push_blob, push_image, push_manifest


def push_everything(registry: Registry) -> dict[str, bytes]:
    """Some of all that there is; return the bytes of each manifest by `repository@digest`."""
    large = images.manifest([], annotations={"large": "A" * 1_000_000})
    one, two = push_image(registry, "team/app", "v1", "v2", layers=3), push_image(registry, "team/app")
    push_blob(registry, "b", images.EMPTY_CONFIG)
    push_manifest(registry, "b", large, "large")
    children = [each.content or b"" for each in (one, two)]
    inner = images.index(children)
    push_manifest(registry, "team/app", inner)
    push_manifest(registry, "team/app", images.index([inner, children[0]]), "nested")
    push_manifest(registry, "team/app", images.manifest([], subject=images.descriptor(inner)))
    names = [("team/app", each) for each in (*children, inner, images.index([inner, children[0]]))] + [("b", large)]
    return {f"{repository}@{digest_of(content)}": content for repository, content in names}


def assert_intact(registry: Registry, contents: dict[str, bytes]) -> None:
    for name, content in contents.items():
        repository, _, digest = name.partition("@")
        found = registry.manifests.find(repository, digest)
        assert registry.manifests.content(found) == content
        assert isinstance(found, Manifest)
        assert all(digest_of(pull_blob(registry, repository, blob)) == blob for blob in found.blobs)
