"""Pulls of blobs where the store can sign: a redirect to the store, which clients follow."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from emulators import Emulators
from storage.digests import digest_of
from tests.clients.commands import Commands
from tests.clients.layouts import read_blobs, write_image
from tests.needs import program
from tests.servers import Server, serving


@pytest.fixture
def signing(emulators: Emulators, tmp_path: Path) -> Iterator[Server]:
    """A registry on the emulators that holds a service account's key."""
    key = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "client_email": "signer@example.iam.gserviceaccount.com",
        "private_key": key.decode(),
        "token_uri": "http://127.0.0.1:1/never-asked",
    }
    (tmp_path / "key.json").write_text(json.dumps(account))
    environment = {**emulators.fresh(), "GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path / "key.json")}
    with serving(environment, tmp_path / "log") as server:
        yield server


def push(server: Server, content: bytes) -> str:
    """Push a blob; answers its path."""
    digest = digest_of(content)
    response, _ = server.request("POST", f"/v2/a/blobs/uploads/?digest={digest}", content)
    assert response.status == 201
    return f"/v2/a/blobs/{digest}"


def test_a_get_is_redirected_to_a_signed_url_that_reads_the_blob(signing: Server) -> None:
    content = b"0123456789" * 1000
    path = push(signing, content)

    response, body = signing.request("GET", path, headers={"Range": "bytes=0-3"})

    assert (response.status, body) == (307, b"")
    assert response.headers["Docker-Content-Digest"] == digest_of(content)
    url = response.headers["Location"]
    query = parse_qs(urlsplit(url).query)
    assert query["X-Goog-Algorithm"] == ["GOOG4-RSA-SHA256"]
    assert query["X-Goog-Credential"][0].startswith("signer@example.iam.gserviceaccount.com/")
    assert 0 < int(query["X-Goog-Expires"][0]) <= 3600
    assert "/v2/" not in url, "to which docker's client would send its Authorization"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.read() == content
    ranged = urllib.request.Request(url, headers={"Range": "bytes=5-7"})
    with urllib.request.urlopen(ranged, timeout=10) as answer:
        assert (answer.status, answer.read()) == (206, b"567")


def test_what_needs_no_redirect_gets_none(signing: Server) -> None:
    path, empty = push(signing, b"text"), push(signing, b"")

    response, _ = signing.request("HEAD", path)
    assert (response.status, response.headers["Content-Length"]) == (200, "4")
    assert signing.request("GET", path, headers={"If-None-Match": f'"{digest_of(b"text")}"'})[0].status == 304
    assert signing.request("GET", empty)[0].status == 200
    assert signing.request("GET", f"/v2/b/blobs/{digest_of(b'text')}")[0].status == 404


def test_clients_follow(signing: Server, tmp_path: Path) -> None:
    commands = Commands(tmp_path)
    crane = program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")
    skopeo = program("skopeo", "apt install skopeo")
    layout = write_image(tmp_path / "layout", [b"text" * 1000])
    remote = f"{signing.host}/team/app:v1"
    commands.run(crane, "push", layout.folder, remote)

    commands.run(crane, "validate", "--remote", remote)
    options = ["--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false"]
    commands.run(skopeo, *options, f"docker://{remote}", f"oci:{tmp_path}/out:v1")

    assert read_blobs(tmp_path / "out") == {**layout.blobs, layout.digest: layout.manifest}
    assert signing.log.read_text().count(" 307 ") >= 6
