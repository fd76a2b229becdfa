"""What access costs: a pull with a token calls no authorizer, and reads what an open registry reads."""

from pathlib import Path

import pytest

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.support import images
from tests.support.app_client import Client, make_client
from tests.support.fake_iam_world import BUCKET, PULL, PUSH, FakeIamWorld, bearer, restricted_app, token_as_basic
from tests.support.store_hooks import RecordedMetadata


@pytest.fixture
def counting(stores: Stores) -> RecordedMetadata:
    return RecordedMetadata(stores.metadata)


@pytest.fixture
def counted(stores: Stores, counting: RecordedMetadata) -> Stores:
    """Stores that are counted."""
    return Stores(stores.blobs, counting)


def pull(client: Client, headers: dict[str, str], layer: bytes, manifest: bytes) -> None:
    """What clients do to pull an image."""
    for method, path in (
        ("HEAD", "manifests/v1"),
        ("GET", "manifests/v1"),
        ("GET", f"manifests/{digest_of(manifest)}"),
        ("HEAD", f"blobs/{digest_of(layer)}"),
        ("GET", f"blobs/{digest_of(layer)}"),
    ):
        answer = client.request(method, f"/v2/team/app/{path}", headers=headers)
        assert answer.status in (200, 307), answer


def test_a_pull_with_a_token_calls_no_authorizer_and_reads_no_more(
    counted: Stores, counting: RecordedMetadata, world: FakeIamWorld, tmp_path: Path
) -> None:
    world.folder("team/", PULL, PUSH, member="user:alice@example.com")
    app = restricted_app(counted, {"LADING_ACCESS": f"gs://{BUCKET}"}, tmp_path)
    layer = images.blob()
    open_to_all = make_client(Registry(counted.blobs, counted.metadata))
    manifest = open_to_all.push_image("team/app", "v1", layer)
    headers = bearer(app.token("repository:team/app:pull", authorization=token_as_basic(world.token("alice"))))
    # The first pull of an hour is put on record, by each process.
    pull(open_to_all, {}, layer, manifest)
    pull(app.client, headers, layer, manifest)
    counting.calls.clear()
    pull(open_to_all, {}, layer, manifest)
    needed = list(counting.calls)
    world.requests()
    counting.calls.clear()

    pull(app.client, headers, layer, manifest)

    assert world.requests() == []
    assert counting.calls == needed
    assert len(needed) == 5


def test_a_login_reads_nothing_of_the_registry(
    counted: Stores, counting: RecordedMetadata, world: FakeIamWorld, tmp_path: Path
) -> None:
    world.folder("team/", PULL, member="user:alice@example.com")
    app = restricted_app(counted, {"LADING_ACCESS": f"gs://{BUCKET}"}, tmp_path)
    counting.calls.clear()

    app.token("repository:team/app:pull", "registry:catalog:*", authorization=token_as_basic(world.token("alice")))

    assert counting.calls == []
    assert [request.split("?")[0].removesuffix(" 200") for request in world.requests()] == [
        "POST /tokeninfo",
        "GET /storage/v1/b/policy/managedFolders/team%2Fapp%2F/iam/testPermissions",
        "GET /storage/v1/b/policy/managedFolders/team%2F/iam/testPermissions",
        "GET /storage/v1/b/policy/iam/testPermissions",
    ]


def test_basic_at_each_request_asks_google_once(
    counted: Stores, counting: RecordedMetadata, world: FakeIamWorld, tmp_path: Path
) -> None:
    world.folder("team/", PULL, PUSH, member="user:alice@example.com")
    app = restricted_app(counted, {"LADING_ACCESS": f"gs://{BUCKET}"}, tmp_path)
    layer = images.blob()
    manifest = make_client(Registry(counted.blobs, counted.metadata)).push_image("team/app", "v1", layer)
    headers = {"Authorization": token_as_basic(world.token("alice"))}

    for _ in range(3):
        pull(app.client, headers, layer, manifest)

    assert len(world.requests()) == 3
