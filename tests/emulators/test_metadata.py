"""The fake of the metadata server: Google's own library reads it, and it is as strict as the documentation says."""

from collections.abc import Iterator
from typing import Any

import google.auth.compute_engine
import google.auth.transport.requests
import jwt
import pytest
import requests
from google.auth.compute_engine import _metadata
from google.oauth2 import id_token as google_id_token

from emulators.metadata import PROJECT_NUMBER, Account, MetadataServer
from emulators.processes import ProcessGroup
from tests.support.fake_iam_world import pem, private_key

EMAIL = "lading-registry@lading-test.iam.gserviceaccount.com"
ACCOUNT = Account(EMAIL, "ya29.runtime", pem(private_key()), "google-1")
FLAVOR = {"Metadata-Flavor": "Google"}
BASE = "/computeMetadata/v1"
DEFAULT = f"{BASE}/instance/service-accounts/default"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetadataServer]:
    with ProcessGroup() as family:
        yield MetadataServer.start(family, ACCOUNT, tmp_path_factory.mktemp("metadata") / "account.json")


def get(server: MetadataServer, path: str, headers: Any = FLAVOR, **query: str) -> requests.Response:
    return requests.get(f"http://{server.address}{path}", headers=headers, params=query, timeout=10)


def test_googles_library_gets_its_credentials_there(server: MetadataServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", server.address)
    monkeypatch.setenv("GCE_METADATA_IP", server.address)
    request = google.auth.transport.requests.Request()

    assert _metadata.ping(request)  # type: ignore[no-untyped-call]
    assert _metadata.get_project_id(request) == "lading-test"  # type: ignore[no-untyped-call]
    credentials = google.auth.compute_engine.Credentials()  # type: ignore[no-untyped-call]
    credentials.refresh(request)  # type: ignore[no-untyped-call]
    assert (credentials.token, credentials.service_account_email) == (ACCOUNT.token, EMAIL)
    assert credentials.universe_domain == "googleapis.com"


def test_an_id_token_is_for_the_audience_that_was_asked_for(
    server: MetadataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_metadata, "_GCE_METADATA_HOST", server.address)
    monkeypatch.setenv("GCE_METADATA_IP", server.address)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
    request = google.auth.transport.requests.Request()

    token = google_id_token.fetch_id_token(request, "https://registry.example")  # type: ignore[no-untyped-call]

    key = private_key().public_key()
    claims = jwt.decode(
        token, key, ["RS256"], audience="https://registry.example", issuer="https://accounts.google.com"
    )
    assert (claims["email"], claims["email_verified"]) == (EMAIL, True)
    assert jwt.get_unverified_header(token)["kid"] == "google-1"
    bare = get(server, f"{DEFAULT}/identity", audience="https://registry.example").text
    assert "email" not in jwt.decode(bare, options={"verify_signature": False})


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (f"{BASE}/project/project-id", "lading-test"),
        (f"{BASE}/project/numeric-project-id", PROJECT_NUMBER),
        (f"{BASE}/instance/region", f"projects/{PROJECT_NUMBER}/regions/europe-west1"),
        (f"{DEFAULT}/email", EMAIL),
        (f"{BASE}/instance/service-accounts/", f"default/\n{EMAIL}/\n"),
        (f"{DEFAULT}/", "aliases\nemail\nidentity\nscopes\ntoken\n"),
        (f"{DEFAULT}/scopes", "https://www.googleapis.com/auth/cloud-platform\n"),
    ],
)
def test_the_rest_is_text(server: MetadataServer, path: str, text: str) -> None:
    response = get(server, path)
    assert (response.status_code, response.text) == (200, text)
    assert (response.headers["Content-Type"], response.headers["Metadata-Flavor"]) == ("application/text", "Google")


def test_an_account_is_known_by_its_address_too(server: MetadataServer) -> None:
    tokens = [get(server, f"{BASE}/instance/service-accounts/{name}/token").json() for name in ("default", EMAIL)]
    assert tokens == [{"access_token": "ya29.runtime", "expires_in": 3599, "token_type": "Bearer"}] * 2
    described = get(server, f"{DEFAULT}/", recursive="true").json()
    assert described == {
        "aliases": ["default"],
        "email": EMAIL,
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    }


@pytest.mark.parametrize("headers", [{}, {"Metadata-Flavor": "google"}, {**FLAVOR, "X-Forwarded-For": "192.0.2.1"}])
def test_who_does_not_know_what_it_asks_gets_nothing(server: MetadataServer, headers: dict[str, str]) -> None:
    for path in (f"{DEFAULT}/token", f"{BASE}/project/project-id"):
        response = get(server, path, headers)
        assert response.status_code == 403
        assert "ya29" not in response.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{BASE}/instance/service-accounts/other@example.com/token", 404),
        (f"{DEFAULT}/nothing", 404),
        (f"{BASE}/nothing", 404),
        ("/latest/meta-data/", 404),
        (f"{DEFAULT}/identity", 400),
        (f"{DEFAULT}/identity?audience=", 400),
        (f"{DEFAULT}/identity?audience=a&format=other", 400),
    ],
)
def test_there_is_nothing_else(server: MetadataServer, path: str, status: int) -> None:
    assert get(server, path).status_code == status
