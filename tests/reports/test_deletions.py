"""Reports of deleting, and of collecting what is left."""

from datetime import timedelta

import pytest

from lading.jobs.cleanup import CleanupContext, clean_up
from lading.jobs.gc.collect import Collector
from lading.jobs.gc.sweep import GracePeriods
from lading.registry.cleanup.policy_json import parse_policies
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client
from tests.support.fake_clock import FakeClock

UNTAGGED = '[{"name": "untagged", "action": {"type": "Delete"}, "condition": {"tagState": "untagged"}}]'
"""A policy that deletes what has no tag."""


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def collect(registry: Registry, clock: FakeClock) -> None:
    """Collect until nothing is left to collect: what is marked is deleted an hour later."""
    for _ in range(4):
        clock.advance(days=30)
        report = Collector(registry, GracePeriods(undelete=timedelta(0)), clock=clock).run(timedelta(minutes=5))
        assert report
        assert report.finished


def test_14_the_platforms_of_an_image_stay(client: Client, registry: Registry, clock: FakeClock) -> None:
    """Collection took the untagged manifests below a tagged index, and all their layers."""
    layers = [images.blob(), images.blob()]
    children = [client.push_image("app", f"{number}", layer) for number, layer in enumerate(layers)]
    client.push_manifest("app", "all", images.index(children))
    for number in range(2):
        client.request("DELETE", f"/v2/app/manifests/{number}")
    stray = digest_of(client.push_image("app", "stray"))
    client.request("DELETE", "/v2/app/manifests/stray")
    clock.advance(days=2)
    clean_up(registry, "app", CleanupContext(parse_policies(UNTAGGED), [], clock()), apply_plan=True)
    collect(registry, clock)
    assert client.request("HEAD", f"/v2/app/manifests/{stray}").status == 404
    assert client.request("GET", "/v2/app/tags/list").json["tags"] == ["all"]
    for child, layer in zip(children, layers, strict=True):
        assert client.request("GET", f"/v2/app/manifests/{digest_of(child)}").body == child
        assert client.request("HEAD", f"/v2/app/blobs/{digest_of(layer)}").status == 200


def test_15_to_delete_a_tag_deletes_no_other(client: Client) -> None:
    """To delete one tag took every tag of the same image along."""
    manifest = client.push_image("app", "v1")
    client.push_manifest("app", "latest", manifest)
    assert client.request("DELETE", "/v2/app/manifests/v1").status == 202
    assert client.request("GET", "/v2/app/tags/list").json["tags"] == ["latest"]
    assert client.request("GET", "/v2/app/manifests/latest").body == manifest


@pytest.mark.parametrize("collected", [False, True])
def test_16_what_was_deleted_can_be_pushed_again(
    client: Client, registry: Registry, clock: FakeClock, collected: bool
) -> None:
    """After a deletion and a collection, HEAD still found the layers, the client skipped them, and pulls failed."""
    layer = images.blob()
    manifest = client.push_image("app", "v1", layer)
    assert client.request("DELETE", f"/v2/app/manifests/{digest_of(manifest)}").status == 202
    if collected:
        collect(registry, clock)
    for content in (layer, images.EMPTY_CONFIG):
        if client.request("HEAD", f"/v2/app/blobs/{digest_of(content)}").status == 404:
            client.push_blob("app", content)
    client.push_manifest("app", "v1", manifest)
    collect(registry, clock)
    assert client.request("GET", "/v2/app/manifests/v1").body == manifest
    assert b"".join(registry.blobs.open(registry.blobs.get("app", digest_of(layer)), 0, len(layer))) == layer


def test_17_a_shared_layer_stays_while_one_repository_has_it(
    client: Client, registry: Registry, clock: FakeClock
) -> None:
    """Deleting an image in one repository broke another one that shared its layers."""
    layer = images.blob()
    manifest = client.push_image("a", "v1", layer)
    for content in (layer, images.EMPTY_CONFIG):
        answer = client.request("POST", f"/v2/b/blobs/uploads/?mount={digest_of(content)}&from=a")
        assert answer.status == 201
    client.push_manifest("b", "v1", manifest)
    assert client.request("DELETE", f"/v2/a/manifests/{digest_of(manifest)}").status == 202
    collect(registry, clock)
    assert client.request("HEAD", f"/v2/a/blobs/{digest_of(layer)}").status == 404
    assert b"".join(registry.blobs.open(registry.blobs.get("b", digest_of(layer)), 0, len(layer))) == layer
