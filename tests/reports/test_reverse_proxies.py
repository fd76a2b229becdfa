"""Reports of what a proxy in front of a registry breaks."""

import pytest

from lading import settings
from lading.app import App
from lading.auth.authenticator import OpenAuthenticator
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from tests.support import images
from tests.support.app_client import Client, make_client

FORGED = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Forwarded-Port": "86", "Forwarded": "a"}


@pytest.mark.parametrize("url", ["", "https://registry.example:8443"])
def test_09_every_address_is_the_one_that_clients_use(registry: Registry, url: str) -> None:
    """Behind TLS or on another port, Location began with http:// or lacked the port, and pushes failed or leaked."""
    client = Client(App(registry, settings.load_settings({"LADING_URL": url}), OpenAuthenticator()))
    content = images.blob()
    begun = client.request("POST", "/v2/app/blobs/uploads/", headers=FORGED)
    pushed = client.request("POST", f"/v2/app/blobs/uploads/?digest={digest_of(content)}", content, headers=FORGED)
    for answer in (begun, pushed):
        assert answer.headers["Location"].startswith(f"{url}/v2/app/blobs/")
    for tag in ("a", "b"):
        client.push_image("app", tag)
    assert f"<{url}/v2/app/tags/list?" in client.request("GET", "/v2/app/tags/list?n=1", headers=FORGED).headers["Link"]


@pytest.mark.parametrize("accept", [{}, {"Accept": "application/json"}, {"Accept": "*/*", "Accept-Encoding": "gzip"}])
def test_10_head_tells_what_get_sends(client: Client, accept: dict[str, str]) -> None:
    """HEAD lacked Content-Length or Content-Type, or said others than GET, and docker would not pull."""
    layer = images.blob()
    manifest = client.push_image("app", "v1", layer)
    for path in ("manifests/v1", f"manifests/{digest_of(manifest)}", f"blobs/{digest_of(images.EMPTY_CONFIG)}"):
        head = client.request("HEAD", f"/v2/app/{path}", headers=accept)
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["Content-Length"]) == len(manifest if "manifests" in path else images.EMPTY_CONFIG)
        got = make_client(client.app.registry).request("GET", f"/v2/app/{path}", headers=accept)
        for name in ("Content-Length", "Content-Type", "Docker-Content-Digest", "ETag"):
            assert head.headers[name] == got.headers[name], name
        assert "Content-Encoding" not in got.headers
