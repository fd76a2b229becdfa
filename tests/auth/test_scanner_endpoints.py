"""Requests of the scanner: its account alone, for the claims that it holds alone, and as often as it repeats them."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from lading.auth.access import Action
from lading.json_values import parse, plain
from lading.registry.content.manifest_contents import Descriptor
from lading.registry.registry import Registry
from lading.registry.scans.messages import (
    MAX_CLAIMS,
    MAX_RESULT,
    CheckedMessage,
    ClaimRequest,
    ClaimResponse,
    DataResponse,
    HeldClaim,
    PublishedMessage,
    ResultMessage,
    TokenRequest,
)
from lading.routes import all_routes
from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.scans.scan_steps import EXTRACTOR, A, facts_of, pushed, referrers, result_of
from tests.support.app_client import Response
from tests.support.fake_clock import FakeClock
from tests.support.fake_iam_world import (
    BUCKET,
    DELETE,
    PULL,
    PUSH,
    FakeIamWorld,
    RestrictedApp,
    bearer,
    id_token,
    publish_certificates,
    restricted_app,
    token_as_basic,
)
from tests.support.server_process import basic

ACCOUNT: Final = "lading-scan@some-project.iam.gserviceaccount.com"
DATA: Final = "lading/vulnerabilities"
ENDPOINTS: Final = ("claims", "results", "token", "data", "checked", "published")


class Scanner:
    """The scanner of a registry with access control."""

    def __init__(self, app: RestrictedApp) -> None:
        self.app = app
        self.authorization = basic("scanner", id_token(email=ACCOUNT))

    def post(self, name: str, message: Any) -> Response:
        content = message if isinstance(message, bytes) else json.dumps(message, default=plain).encode()
        headers = {"Authorization": self.authorization, "Content-Type": "application/json"}
        return self.app.client.request("POST", f"/v2/_lading/scans/{name}", content, headers)

    def claim(self) -> ClaimResponse:
        response = self.post("claims", ClaimRequest(extractor=EXTRACTOR))
        assert response.status == 200, response
        return parse(ClaimResponse, response.json)

    def held(self) -> tuple[Any, HeldClaim]:
        claim = self.claim().claim
        assert claim is not None
        return claim, HeldClaim(repository=claim.repository, digest=claim.digest, nonce=claim.nonce)

    def token(self, *claims: HeldClaim) -> dict[str, str]:
        response = self.post("token", TokenRequest(claims=claims))
        assert response.status == 200, response
        return bearer(response.json["token"])

    def status(self, token: dict[str, str], method: str, path: str) -> int:
        return self.app.client.request(method, f"/v2/{path}", headers=token).status


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    """The registry in which images are pushed; the scanner's has the same stores."""
    return Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)


@pytest.fixture
def scanner(world: FakeIamWorld, stores: Stores, tmp_path: Path) -> Scanner:
    publish_certificates(world)
    environment = {"LADING_ACCESS": f"gs://{BUCKET}", "LADING_SCANNER": ACCOUNT}
    return Scanner(restricted_app(stores, environment, tmp_path / "keys"))


def test_an_image_is_claimed_and_its_result_accepted(registry: Registry, scanner: Scanner, clock: FakeClock) -> None:
    image = pushed(registry, layers=2)

    claim, held = scanner.held()
    message = ResultMessage(claim=held, result=result_of(claim, clock))
    statuses = [scanner.post("results", message).status for _ in range(2)]

    assert (claim.repository, claim.digest, len(claim.layers)) == (A, image.id, 2)
    assert claim.config is not None
    assert claim.config.digest in image.blobs
    assert statuses == [200, 200]
    assert facts_of(registry, image).state == "done"
    assert {kind: len(found) for kind, found in referrers(registry, image).items()} == {
        "application/vnd.cyclonedx+json": 1,
        "application/vnd.in-toto+json": 1,
    }
    assert scanner.claim().claim is None


def test_packages_of_layers_arrive_as_they_were_sent(registry: Registry, scanner: Scanner, clock: FakeClock) -> None:
    pushed(registry)
    claim, held = scanner.held()
    layers = {layer.digest: bytes(range(256)) for layer in claim.layers}
    scanner.post("results", ResultMessage(claim=held, result=result_of(claim, clock, layers=layers)))
    pushed(registry, "v2")

    again, _ = scanner.held()

    assert again.digest != claim.digest
    assert {each.packages for each in again.layers if each.digest in layers} <= {bytes(range(256))}


@pytest.mark.parametrize("change", [{"nonce": "0" * 32}, {"nonce": ""}, {"repository": "team/other"}])
def test_a_claim_of_another_scanner_changes_nothing(
    registry: Registry, scanner: Scanner, clock: FakeClock, change: dict[str, str]
) -> None:
    image = pushed(registry)
    claim, held = scanner.held()
    before = facts_of(registry, image)
    wrong = HeldClaim(**{"repository": held.repository, "digest": held.digest, "nonce": held.nonce} | change)

    statuses = [
        scanner.post("results", ResultMessage(claim=wrong, result=result_of(claim, clock))).status,
        scanner.post("token", TokenRequest(claims=[held, wrong])).status,
    ]

    assert statuses == [409, 409]
    assert facts_of(registry, image) == before
    assert referrers(registry, image) == {}


def test_the_token_is_for_the_repositories_of_claims_alone(registry: Registry, scanner: Scanner) -> None:
    image = pushed(registry)
    _, held = scanner.held()
    blob = image.blobs[0]

    token, other = scanner.token(held), scanner.token()

    assert scanner.status(token, "GET", f"{A}/blobs/{blob}") in (200, 307)
    assert scanner.status(other, "GET", f"{A}/blobs/{blob}") == 401
    for method, path in (
        ("GET", f"team/other/blobs/{blob}"),
        ("POST", f"{A}/blobs/uploads/"),
        ("DELETE", f"{A}/manifests/{image.digest}"),
        ("DELETE", f"{DATA}/manifests/debian"),
        ("GET", "_lading/rules"),
        ("POST", "_lading/scans/claims"),
    ):
        assert scanner.status(token, method, path) in (401, 403), path
    assert scanner.status(token, "POST", f"{DATA}/blobs/uploads/") == 202


def test_the_token_ends_with_the_claim(registry: Registry, scanner: Scanner, clock: FakeClock) -> None:
    pushed(registry)
    claim, held = scanner.held()
    scanner.post("results", ResultMessage(claim=held, result=result_of(claim, clock)))

    assert scanner.post("token", TokenRequest(claims=[held])).status == 409


def test_data_is_published_for_what_images_need(registry: Registry, scanner: Scanner, clock: FakeClock) -> None:
    pushed(registry)
    claim, held = scanner.held()
    scanner.post("results", ResultMessage(claim=held, result=result_of(claim, clock, ecosystems=["Debian", "Go"])))
    before = parse(DataResponse, scanner.post("data", {}).json)
    layer = Descriptor("sha256:" + "0" * 64, "application/vnd.sqlite3+gzip", 4)
    assert scanner.post("published", PublishedMessage(ecosystem="Go", layer=layer)).status == 400

    content = b"data"
    digest = scanner.app.client.request(
        "POST", f"/v2/{DATA}/blobs/uploads/?digest={digest_of(content)}", content, scanner.token()
    ).headers["Docker-Content-Digest"]
    published = PublishedMessage(ecosystem="Go", layer=Descriptor(digest, layer.media_type, 4), etag="one")
    statuses = [scanner.post("published", published).status for _ in range(2)]
    statuses.append(scanner.post("checked", CheckedMessage(ecosystem="Debian", error="404")).status)

    assert statuses == [200, 200, 200]
    assert [(each.id, each.layer) for each in before.ecosystems] == [("Debian", None), ("Go", None)]
    debian, go = parse(DataResponse, scanner.post("data", {}).json).ecosystems
    assert (debian.error, debian.layer) == ("404", None)
    assert (go.etag, go.layer, go.error) == ("one", published.layer, "")
    for name, message in (("published", published), ("checked", CheckedMessage(ecosystem="Debian"))):
        unknown = {**json.loads(json.dumps(message, default=plain)), "ecosystem": "Debian GNU"}
        assert scanner.post(name, unknown).status == 400


CALLERS: Final = {
    "an anonymous client": ("", 401),
    "another service account": (basic("scanner", id_token(email="other@example.com")), 403),
    "a token for another service": (basic("scanner", id_token(email=ACCOUNT, aud="https://other.example")), 401),
    "an expired token": (basic("scanner", id_token(email=ACCOUNT, exp=1)), 401),
    "a token without a signature": (basic("scanner", id_token(email=ACCOUNT).rpartition(".")[0] + "."), 401),
    "a robot": (basic("robot+pusher", "ldr_1"), 401),
    "malformed credentials": ("Basic %", 401),
}


@pytest.mark.parametrize("caller", CALLERS)
def test_no_other_caller_is_heard(registry: Registry, scanner: Scanner, caller: str) -> None:
    scanner.authorization, status = CALLERS[caller]
    image = pushed(registry)
    before = facts_of(registry, image)

    found = {name: scanner.post(name, b"{" * 1000).status for name in ENDPOINTS}

    assert found == dict.fromkeys(ENDPOINTS, status)
    assert facts_of(registry, image) == before


def test_users_with_all_rights_are_not_the_scanner(world: FakeIamWorld, scanner: Scanner) -> None:
    world.folder("", PULL, PUSH, DELETE, member="user:owner@example.com")
    scanner.authorization = token_as_basic(world.token("owner"))

    assert {scanner.post(name, {}).status for name in ENDPOINTS} == {401}


def test_all_endpoints_are_tried() -> None:
    paths = {row.path for row in all_routes() if row.action is Action.SCAN}
    assert paths == {f"/v2/_lading/scans/{name}" for name in ENDPOINTS}


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 60_000,
        b'{"extractor": "1"}',
        b'{"extractor": 1e400}',
        b'{"claim": {"repository": "A/../b", "digest": "x", "nonce": "y"}, "result": {}}',
        b'{"claims": [{"repository": "team/app", "digest": "sha256:1", "nonce": "y"}]}',
        b'{"ecosystem": {}}',
    ],
)
def test_malformed_messages_change_nothing(registry: Registry, scanner: Scanner, message: bytes) -> None:
    image = pushed(registry)
    before = facts_of(registry, image)

    statuses = {scanner.post(name, message).status for name in ENDPOINTS if name != "data"}

    assert statuses <= {200, 400}
    assert facts_of(registry, image) == before


def test_messages_are_bounded(registry: Registry, scanner: Scanner) -> None:
    pushed(registry)
    _, held = scanner.held()

    assert scanner.post("claims", b" " * 70_000).status == 400
    assert scanner.post("results", b" " * (MAX_RESULT + 1)).status == 400
    assert scanner.post("token", TokenRequest(claims=[held] * (MAX_CLAIMS + 1))).status == 400
