"""Web pages of other sites: those that the settings name may read and write, and no others."""

import pytest

from lading import settings
from lading.registry.registry import Registry
from lading.settings import SettingsError
from tests.support.app_client import Client, make_client

PAGE = "https://ui.example.com"
FOREIGN = ["https://evil.example", "https://ui.example.com.evil.example", "http://ui.example.com", "null", ""]


@pytest.fixture
def client(registry: Registry) -> Client:
    return make_client(registry, LADING_CORS_ORIGINS=f"http://localhost:8080, {PAGE}")


def preflight(client: Client, origin: str, method: str = "GET") -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Sec-Fetch-Site": "cross-site"}
    asked["Access-Control-Request-Headers"] = "authorization"
    answer = client.request("OPTIONS", "/v2/team/app/manifests/v1", headers=asked)
    assert answer.status == 204
    assert answer.headers["Vary"] == "Origin"
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


def test_a_page_that_is_named_reads_and_writes(client: Client) -> None:
    told = preflight(client, PAGE)
    assert told["Access-Control-Allow-Origin"] == PAGE
    assert told["Access-Control-Allow-Credentials"] == "true"
    assert set(told["Access-Control-Allow-Methods"].split(", ")) == {"DELETE", "GET", "HEAD", "OPTIONS", "PUT"}
    assert "Authorization" in told["Access-Control-Allow-Headers"].split(", ")
    client.push_image("team/app", "v1")
    headers = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}

    read = client.request("GET", "/v2/team/app/manifests/v1", headers=headers)
    written = client.request("POST", "/v2/team/app/blobs/uploads/", headers=headers)
    missing = client.request("GET", "/v2/team/app/manifests/v2", headers=headers)

    assert (read.status, written.status, missing.status) == (200, 202, 404)
    for answer in (read, written, missing):
        assert answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"Docker-Content-Digest", "Link", "Location", "WWW-Authenticate"} <= set(exposed)


@pytest.mark.parametrize("origin", FOREIGN)
def test_any_other_page_is_told_nothing_and_writes_nothing(client: Client, origin: str) -> None:
    assert preflight(client, origin) == {}
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    read = client.request("GET", "/v2/", headers=headers)
    assert read.status == 200
    assert read.headers["Vary"] == "Origin"
    assert not [name for name, _ in read.headers if name.startswith("Access-Control-")]
    assert client.request("POST", "/v2/team/app/blobs/uploads/", headers=headers).status == 403


def test_without_the_setting_no_page_is_told_anything(registry: Registry) -> None:
    client = make_client(registry)
    answer = client.request("GET", "/v2/", headers={"Origin": PAGE})
    assert not [name for name, _ in answer.headers if name == "Vary" or name.startswith("Access-Control-")]
    assert client.request("POST", "/v2/team/app/blobs/uploads/", headers={"Origin": PAGE}).status == 403


@pytest.mark.parametrize(
    "origins", ["*", "https://*.example.com", "null", "ui.example.com", f"{PAGE}/path", f"{PAGE},*"]
)
def test_origins_are_whole_and_none_is_everybody(origins: str) -> None:
    with pytest.raises(SettingsError, match="LADING_CORS_ORIGINS is"):
        settings.load_settings({"LADING_CORS_ORIGINS": origins})


def test_origins_are_compared_as_browsers_write_them() -> None:
    read = settings.load_settings({"LADING_CORS_ORIGINS": "https://UI.example.com:443/,http://a:80,http://[::1]:8080"})
    assert read.cors_origins == ("https://ui.example.com", "http://a", "http://[::1]:8080")
