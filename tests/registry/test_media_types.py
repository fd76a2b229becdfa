"""The same bytes as two media types: what a live image needs stays, whatever else they are pushed as."""

import json
from collections.abc import Callable
from functools import partial
from itertools import count, permutations
from typing import Any

import pytest

from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry import deletion_causes
from lading.registry.content import manifests
from lading.registry.content.manifest_format import DOCKER_MANIFEST, OCI_ARTIFACT, OCI_MANIFEST
from lading.registry.content.manifests import Put
from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import TooLarge
from lading_storage.records.core import Manifest, Tag
from lading_storage.stores import Stores
from tests.support import images
from tests.support.fake_clock import FakeClock
from tests.support.invariants import Snapshot, assert_no_garbage
from tests.support.object_damage import InterleavingStores, collect
from tests.support.registry_pushes import pull_blob, push_blob


def put(registry: Registry, content: bytes, media_type: str, *tags: str) -> Manifest:
    return registry.manifests.put("a", Put(content, media_type, "", tags))


def delete_for_good(registry: Registry, manifest: Manifest | Tag) -> None:
    registry.deletion.manifest("a", manifest.digest)
    registry.undelete.purge_by_cause("a", deletion_causes.of_manifest(manifest.digest))


def told(attempt: Callable[[], Any]) -> str:
    """What a put is refused with, or ""."""
    try:
        attempt()
    except RegistryError as error:
        return f"{error.descriptor.code} {error.detail}"
    return ""


@pytest.fixture
def layer() -> bytes:
    return images.blob()


@pytest.fixture
def content(registry: Registry, layer: bytes) -> bytes:
    """A manifest that does not say what it is: as an image it needs a layer, as an artifact nothing."""
    for each in (images.EMPTY_CONFIG, layer):
        push_blob(registry, "a", each)
    described = json.loads(images.manifest([layer])) | {"blobs": []}
    del described["mediaType"]
    return json.dumps(described).encode()


TYPES = [OCI_MANIFEST, DOCKER_MANIFEST, OCI_ARTIFACT]


@pytest.mark.parametrize(("first", "second"), list(permutations(TYPES, 2)))
def test_bytes_that_are_there_are_not_pushed_as_another_type(
    registry: Registry, content: bytes, first: str, second: str
) -> None:
    manifest = put(registry, content, first, "v1")

    reason = told(lambda: put(registry, content, second, "v2"))

    assert reason.startswith("MANIFEST_INVALID")
    assert f"delete {manifest.digest} with `lading delete --for-good`" in reason
    assert registry.tags.names("a", "", 9).items == ["v1"]
    put(registry, content, first, "v3")
    delete_for_good(registry, manifest)
    assert put(registry, content, second, "v2").media_type == second
    for reference in ("v2", manifest.digest):
        assert registry.manifests.find("a", reference).media_type == second


@pytest.mark.parametrize(("first", "second"), list(permutations(TYPES, 2)))
def test_a_deleted_manifest_is_restored_although_its_bytes_were_pushed_as_another_type(
    registry: Registry, content: bytes, layer: bytes, first: str, second: str
) -> None:
    manifest = put(registry, content, first, "v1")
    registry.deletion.manifest("a", manifest.digest)

    reason = told(lambda: put(registry, content, second, "v2"))

    assert reason.startswith("MANIFEST_INVALID")
    assert f"deleted as {first}" in reason
    assert registry.undelete.manifest("a", manifest.digest) == [manifest.digest]
    assert registry.manifests.find("a", "v1").media_type == first
    if first != OCI_ARTIFACT:
        assert pull_blob(registry, "a", digest_of(layer)) == layer


@pytest.mark.parametrize("types", list(permutations((OCI_MANIFEST, OCI_ARTIFACT), 2)))
def test_of_two_types_at_once_one_wins_and_what_it_needs_stays(
    registry: Registry, stores: Stores, content: bytes, layer: bytes, types: tuple[str, str]
) -> None:
    """One as a whole before each call of the other."""
    first, second = types
    seconds: list[str] = []

    def between() -> None:
        seconds.append(told(lambda: put(registry, content, second, "v2")))

    for point in count():
        seconds.clear()
        steps = InterleavingStores(stores, point, between)
        refused = told(partial(put, steps.registry, content, first, "v1"))
        if not seconds:
            break
        assert (refused == "") != (seconds == [""]), point
        tag = registry.manifests.find("a", "v2" if refused else "v1")
        assert tag.media_type == (second if refused else first)
        assert registry.manifests.find("a", tag.digest).media_type == tag.media_type
        collect(registry, concurrent=True)
        if tag.media_type == OCI_MANIFEST:
            assert pull_blob(registry, "a", digest_of(layer)) == layer
            assert told(lambda: registry.blobs.delete("a", digest_of(layer))).startswith("UNSUPPORTED")
        delete_for_good(registry, tag)
        for each in (images.EMPTY_CONFIG, layer):
            push_blob(registry, "a", each)
    assert point >= 2


@pytest.mark.parametrize("large", [False, True])
def test_what_only_the_deleted_type_needed_is_collected(
    large: bool, stores: Stores, content: bytes, layer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    registry = Registry(stores.blobs, stores.metadata, clock=clock)
    image = put(registry, content, OCI_MANIFEST, "v1")
    registry.deletion.manifest("a", image.digest)
    if large:
        attempts = registry.manifests._try_to_put
        monkeypatch.setattr(registry.manifests, "_try_to_put", partial(_too_large_unless_touched, attempts))

    # As if this put had looked before the image was pushed and deleted.
    monkeypatch.setattr(manifests, "_refuse_another_type", lambda *asked: None)
    put(registry, content, OCI_ARTIFACT, "v2")

    for _ in range(2):
        for hours in (24, 2):
            clock.advance(hours=hours)
            report = Collector(registry, GracePeriods(), clock=clock).run()
            assert report is not None
            assert report.finished
    assert_no_garbage(Snapshot(stores, ["a"]))


def _too_large_unless_touched(attempt: Callable[..., Manifest], *arguments: Any, touched: bool = False) -> Manifest:
    """Put a manifest as if it did not fit into one commit with all that it names."""
    if not touched:
        raise TooLarge("as if")
    return attempt(*arguments, touched=touched)
