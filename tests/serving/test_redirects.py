"""Pulls of blobs where the store can sign URLs: a redirect to the store, by a URL that Cloud Storage would take."""

import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from emulators import Emulators
from emulators.iam import IamEmulator
from emulators.processes import ProcessGroup
from lading_storage.digests import digest_of
from tests.support import fake_iam_world
from tests.support.fake_cloud_services import SIGNING_METHODS, RedirectingRegistry, redirecting_registry
from tests.support.fake_iam_world import FakeIamWorld


@pytest.fixture(scope="session")
def iam(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IamEmulator]:
    with ProcessGroup() as family:
        yield IamEmulator.start(family, tmp_path_factory.mktemp("iam"))


@pytest.fixture
def world(iam: IamEmulator) -> FakeIamWorld:
    return FakeIamWorld(iam)


@pytest.fixture(params=SIGNING_METHODS)
def signing(
    request: pytest.FixtureRequest, emulators: Emulators, world: FakeIamWorld, tmp_path: Path
) -> Iterator[RedirectingRegistry]:
    """A registry on the emulators that signs in one of the ways."""
    with redirecting_registry(request.param, emulators, world, tmp_path) as started:
        yield started
        assert started.storage.refused == []
        log = started.server.log.read_text()
        assert not [secret for secret in ("X-Goog-Signature", *started.secrets) if secret in log]


@pytest.fixture
def by_iam(emulators: Emulators, world: FakeIamWorld, tmp_path: Path) -> Iterator[RedirectingRegistry]:
    """A registry on the emulators for which IAM signs."""
    with redirecting_registry("iam", emulators, world, tmp_path) as started:
        yield started


def push(signing: RedirectingRegistry, content: bytes) -> str:
    """Push a blob; answers its path."""
    digest = digest_of(content)
    response, _ = signing.server.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", content)
    assert response.status == 201
    return f"/v2/a/blobs/{digest}"


def test_a_get_is_redirected_to_a_url_that_cloud_storage_takes(signing: RedirectingRegistry) -> None:
    content = b"0123456789" * 1000
    path = push(signing, content)
    before = signing.storage.request_count

    response, body = signing.server.request("GET", path, headers={"Range": "bytes=0-3"})

    assert (response.status, body) == (307, b"")
    assert signing.storage.request_count == before, "a redirect costs no call of the store"
    assert response.headers["Docker-Content-Digest"] == digest_of(content)
    url = response.headers["Location"]
    assert parse_qs(urlsplit(url).query)["X-Goog-Credential"][0].startswith(f"{signing.signer}/")
    assert "/v2/" not in url, "to which docker's client would send its Authorization"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == content
    ranged = urllib.request.Request(url, headers={"Range": "bytes=5-7"})
    with urllib.request.urlopen(ranged, timeout=10) as answer:
        assert (answer.status, answer.read()) == (206, b"567")
    assert signing.storage.read == 2


def test_what_needs_no_redirect_gets_none(by_iam: RedirectingRegistry) -> None:
    path, empty = push(by_iam, b"text"), push(by_iam, b"")
    ask = by_iam.server.request

    response, _ = ask("HEAD", path)
    assert (response.status, response.headers["Content-Length"]) == (200, "4")
    assert ask("GET", path, headers={"If-None-Match": f'"{digest_of(b"text")}"'})[0].status == 304
    assert ask("GET", empty)[0].status == 200
    assert ask("GET", f"/v2/b/blobs/{digest_of(b'text')}")[0].status == 404


def test_iam_is_asked_once_for_each_blob(by_iam: RedirectingRegistry, world: FakeIamWorld) -> None:
    paths = [push(by_iam, b"one"), push(by_iam, b"two")]
    world.requests()

    locations = {by_iam.server.request("GET", path)[0].headers["Location"] for path in paths * 5}

    assert len(locations) == 2
    assert (
        world.requests() == [f"POST /v1/projects/-/serviceAccounts/{fake_iam_world.SERVICE_ACCOUNT}:signBlob 200"] * 2
    )


def test_where_iam_does_not_sign_nothing_is_streamed_instead(by_iam: RedirectingRegistry, world: FakeIamWorld) -> None:
    signed, new = push(by_iam, b"signed before"), push(by_iam, b"not yet")
    assert by_iam.server.request("GET", signed)[0].status == 307

    for outage in ({"v1/projects/-/": 503}, {"v1/projects/-/": 403}):
        world.fields["outage"] = outage
        world.save()
        response, body = by_iam.server.request("GET", new)
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert b"not yet" not in body
        assert by_iam.server.request("HEAD", new)[0].status == 200
        assert by_iam.server.request("GET", signed)[0].status == 307, "what was signed before is still good"
    assert "iam.serviceAccounts.signBlob on itself" in by_iam.server.log.read_text()

    del world.fields["outage"]
    world.save()
    assert by_iam.server.request("GET", new)[0].status == 307
