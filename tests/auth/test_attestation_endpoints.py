"""Requests of the attester: its account alone, and nothing else by it."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from lading.auth.access import Action
from lading.registry.attestations.messages import MAX_DIGESTS
from lading.registry.registry import Registry
from lading.routes import all_routes
from lading_storage.stores import Stores
from tests.support.app_client import Response
from tests.support.binary_authorization import ACCOUNT
from tests.support.fake_iam_world import (
    BUCKET,
    DELETE,
    PULL,
    PUSH,
    FakeIamWorld,
    RestrictedApp,
    id_token,
    publish_certificates,
    restricted_app,
    token_as_basic,
)
from tests.support.registry_pushes import push_blob, push_image, push_manifest
from tests.support.server_process import basic

MESSAGES: Final[dict[str, Any]] = {
    "repositories": {},
    "images": {"repository": "team/app"},
    "decisions": {"repository": "team/app", "digests": [f"sha256:{'0' * 64}"]},
    "position": {},
    "keep-position": {"repository": "team/app", "digest": f"sha256:{'0' * 64}"},
}


class AttesterClient:
    """The attester of a registry with access control."""

    def __init__(self, app: RestrictedApp) -> None:
        self.app = app
        self.authorization = basic("attester", id_token(email=ACCOUNT))

    def post(self, name: str, message: Any) -> Response:
        content = message if isinstance(message, bytes) else json.dumps(message).encode()
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        return self.app.client.request("POST", f"/v2/_lading/attestations/{name}", content, headers)


@pytest.fixture
def attester(stores: Stores, world: FakeIamWorld, tmp_path: Path) -> AttesterClient:
    # `world` last: the stores name a fake of IAM as well.
    publish_certificates(world)
    environment = {"LADING_ACCESS": f"gs://{BUCKET}", "LADING_ATTESTER": ACCOUNT}
    return AttesterClient(restricted_app(stores, environment, tmp_path / "keys"))


def statuses(attester: AttesterClient) -> set[int]:
    return {attester.post(name, message).status for name, message in MESSAGES.items()}


def test_all_endpoints_are_tried(attester: AttesterClient) -> None:
    paths = {row.path for row in all_routes() if row.action is Action.ATTEST}
    assert paths == {f"/v2/_lading/attestations/{name}" for name in MESSAGES}
    assert statuses(attester) == {200}


def test_users_with_all_rights_are_not_the_attester(attester: AttesterClient, world: FakeIamWorld) -> None:
    world.folder("", PULL, PUSH, DELETE, member="user:owner@example.com")
    for authorization, status in (
        (token_as_basic(world.token("owner")), 401),
        ("", 401),
        (basic("attester", id_token(email="owner@example.com")), 403),
        (basic("scanner", id_token(email=ACCOUNT)), 401),
    ):
        attester.authorization = authorization
        assert statuses(attester) == {status}


def test_the_attester_may_do_nothing_else(registry: Registry, attester: AttesterClient) -> None:
    image = push_image(registry, "team/app", "v1").id
    for method, path in (
        ("GET", f"team/app/manifests/{image}"),
        ("GET", "_lading/team/app/tags"),
        ("POST", "_lading/scans/claims"),
        ("DELETE", f"team/app/manifests/{image}"),
    ):
        headers = {"Authorization": attester.authorization}
        assert attester.app.client.request(method, f"/v2/{path}", b"{}", headers).status in (401, 403)


def test_images_are_listed_without_signatures(registry: Registry, attester: AttesterClient) -> None:
    image = push_image(registry, "team/app", "v1").id
    content = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.example.signature",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [],
        "subject": {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": image, "size": 1},
    }
    push_blob(registry, "team/app", b"{}")
    signature = push_manifest(registry, "team/app", json.dumps(content).encode()).id

    assert attester.post("repositories", {}).json == {"names": ["team/app"], "next": ""}
    assert attester.post("images", {"repository": "team/app"}).json == {"names": [image], "next": ""}
    assert attester.post("images", {"repository": "team/none"}).json == {"names": [], "next": ""}

    def decided(digest: str, related: bool) -> list[str]:
        message = {"repository": "team/app", "digests": [digest], "related": related}
        return [each["digest"] for each in attester.post("decisions", message).json["decisions"]]

    assert decided(signature, related=False) == []
    assert decided(signature, related=True) == [image], "what a signature is of"
    assert decided(f"sha256:{'0' * 64}", related=True) == []


def test_the_position_of_the_sweep_is_kept(attester: AttesterClient) -> None:
    assert attester.post("position", {}).json == {"repository": "", "digest": ""}
    for position in (MESSAGES["keep-position"], {"repository": "", "digest": ""}):
        for _ in range(2):
            assert attester.post("keep-position", position).json == position
        assert attester.post("position", {}).json == position


def test_without_policies_nothing_passes(registry: Registry, attester: AttesterClient) -> None:
    image = push_image(registry, "team/app", "v1").id
    (decision,) = attester.post("decisions", {"repository": "team/app", "digests": [image]}).json["decisions"]
    assert decision == {"digest": image, "passes": False, "reason": "no policy is enforced for the repository"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("repositories", b""),
        ("repositories", b"[]"),
        ("repositories", b"[" * 60_000),
        ("repositories", b" " * 70_000),
        ("repositories", {"after": "A/../b"}),
        ("images", {"repository": "team/app", "after": "v1"}),
        ("images", {"repository": "../app"}),
        ("decisions", {"repository": "team/app", "digests": ["v1"]}),
        ("decisions", {"repository": "team/app", "digests": [f"sha256:{'0' * 64}"] * (MAX_DIGESTS + 1)}),
        ("decisions", {"repository": "team/app", "digests": "sha256"}),
        ("position", b"[]"),
        ("keep-position", {"repository": "../app"}),
        ("keep-position", {"repository": "team/app", "digest": "v1"}),
    ],
)
def test_malformed_messages_are_refused(attester: AttesterClient, name: str, message: Any) -> None:
    assert attester.post(name, message).status == 400
