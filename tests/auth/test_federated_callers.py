"""Callers whose tokens name no account: one may not touch another's upload, and audit and history tell them apart."""

import logging
from pathlib import Path

import pytest

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading_storage.digests import digest_of
from lading_storage.stores import Stores
from tests.auth.audit_lines import audited
from tests.support import images
from tests.support.fake_iam_world import (
    BUCKET,
    POOL,
    PULL,
    PUSH,
    URL,
    FakeIamWorld,
    RestrictedApp,
    bearer,
    restricted_app,
    token_as_basic,
)

SESSION_REQUESTS = [
    ("GET", "", b""),
    ("PATCH", "", b"appended"),
    ("PUT", f"?digest={digest_of(b'begun')}", b""),
    ("DELETE", "", b""),
]


@pytest.fixture(params=[404, 403])
def app(request: pytest.FixtureRequest, stores: Stores, world: FakeIamWorld, tmp_path: Path) -> RestrictedApp:
    """A registry to which two workloads may push."""
    world.missing_folders(request.param)
    for subject in ("one", "two"):
        world.folder("team/", PULL, PUSH, member=f"{POOL}/subject/{subject}")
    return restricted_app(stores, {"LADING_ACCESS": f"gs://{BUCKET}", "LADING_UNSCOPED_TOKENS": "push"}, tmp_path)


@pytest.fixture(params=["basic", "bearer"])
def headers(request: pytest.FixtureRequest, app: RestrictedApp, world: FakeIamWorld) -> list[dict[str, str]]:
    """The headers with which each of the two comes."""
    basics = [token_as_basic(world.federated(subject)) for subject in ("one", "two")]
    if request.param == "basic":
        return [{"Authorization": basic} for basic in basics]
    return [bearer(app.token("repository:team/app:pull,push", authorization=basic)) for basic in basics]


@pytest.mark.parametrize(("method", "query", "body"), SESSION_REQUESTS)
def test_an_upload_belongs_to_the_federated_caller_that_began_it(
    app: RestrictedApp, headers: list[dict[str, str]], method: str, query: str, body: bytes
) -> None:
    one, two = headers
    location = app.client.request("POST", "/v2/team/app/blobs/uploads/", headers=one).headers["Location"]
    begun = app.client.request("PATCH", location.removeprefix(URL), b"begun", one)
    assert begun.status == 202
    session = begun.headers["Location"].removeprefix(URL)

    answer = app.client.request(method, session + query, body, two)

    assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
    assert app.client.request("GET", session, headers=one).headers["Range"] == "0-4"
    assert app.client.request(method, session + query, body, one).status in (201, 202, 204)


def test_audit_and_history_tell_federated_callers_apart(
    app: RestrictedApp, headers: list[dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    audited(caplog)
    for tag, each in zip(("v1", "v2"), headers, strict=True):
        config = images.blob()
        blobs = f"/v2/team/app/blobs/uploads/?digest={digest_of(config)}"
        assert app.client.request("POST", blobs, config, each).status == 201
        sent = each | {"Content-Type": OCI_MANIFEST}
        assert (
            app.client.request("PUT", f"/v2/team/app/manifests/{tag}", images.manifest([], config), sent).status == 201
        )

    principals = [line["audit"]["principal"] for line in audited(caplog)]
    moves = app.client.request("GET", "/v2/_lading/team/app/history", headers=headers[0]).json["moves"]

    assert all(name.startswith("federated:") for name in principals)
    assert principals[0] == principals[1] != principals[2] == principals[3]
    assert {move["tag"]: move["by"] for move in moves} == {"v1": principals[0], "v2": principals[2]}
