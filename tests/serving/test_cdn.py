"""Pulls that Cloud CDN answers: URLs as its documentation has them."""

import base64
import hashlib
import hmac
import os
import subprocess
import time
from pathlib import Path

import pytest

from emulators import Emulators
from lading_storage.digests import digest_of
from lading_storage.errors import StorageError
from lading_storage.google.cdn_urls import CdnUrls
from lading_storage.google.signed_urls import URL_TTL
from tests.support import images
from tests.support.requirements import find_program
from tests.support.server_process import serving

KEY = bytes(range(16))
ENCODED = base64.urlsafe_b64encode(KEY).decode()
LINE = f"https://blobs.example.com my-key {ENCODED}\n"


def check(url: str, now: float) -> str:
    """What Cloud CDN does with a signed URL: return the path, if the signature is good and the time is not over."""
    signed, _, signature = url.rpartition("&Signature=")
    path, _, query = signed.partition("?")
    expires, name = (pair.partition("=") for pair in query.split("&"))
    assert (expires[0], name) == ("Expires", ("KeyName", "=", "my-key"))
    assert now + 600 < int(expires[2]) <= now + 1300
    good = base64.urlsafe_b64encode(hmac.new(KEY, signed.encode(), hashlib.sha1).digest()).decode()
    assert signature == good
    return path


def test_a_url_is_good_for_twenty_minutes() -> None:
    urls = CdnUrls("https://blobs.example.com/", "my-key", KEY, clock=lambda: 1_700_000_000.5)
    assert check(urls.url("blobs/1/0"), 1_700_000_000) == "https://blobs.example.com/blobs/1/0"


def test_a_url_is_the_one_that_gcloud_signs(tmp_path: Path) -> None:
    gcloud = find_program("gcloud", "the Google Cloud SDK")
    (tmp_path / "key").write_text(ENCODED)
    asked = [gcloud, "compute", "sign-url", "https://blobs.example.com/blobs/1/0", "--key-name=my-key"]
    asked += [f"--key-file={tmp_path / 'key'}", "--expires-in=20m", "--format=value(signedUrl)"]
    environment = {**os.environ, "CLOUDSDK_CONFIG": str(tmp_path), "CLOUDSDK_CORE_DISABLE_PROMPTS": "1"}
    signed = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=120, check=True).stdout

    expires = int(signed.partition("Expires=")[2].partition("&")[0])
    urls = CdnUrls("https://blobs.example.com", "my-key", KEY, clock=lambda: expires - URL_TTL)
    assert urls.url("blobs/1/0") == signed.strip()


@pytest.mark.parametrize(
    "line", ["", "https://x my-key", "https://x my-key c2hvcnQ=", "x my-key " + ENCODED, "a b c d"]
)
def test_a_file_without_a_key_is_refused_without_quoting_it(tmp_path: Path, line: str) -> None:
    (tmp_path / "key").write_text(line)
    with pytest.raises(StorageError, match="not a key file of Cloud CDN") as raised:
        CdnUrls.from_file(tmp_path / "key")
    assert not line or line not in str(raised.value)


def test_a_pull_is_sent_there(emulators: Emulators, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(LINE)
    layer = images.blob()
    with serving({**emulators.fresh_stores(), "LADING_CDN_KEY": str(tmp_path / "key")}, tmp_path / "log") as server:
        path = f"/v2/a/blobs/uploads/?digest={digest_of(layer)}"
        assert server.request("POST", path, layer, {"Content-Type": "application/octet-stream"})[0].status == 201
        response, _ = server.request("GET", f"/v2/a/blobs/{digest_of(layer)}")
    assert response.status == 307
    assert check(response.headers["Location"], time.time()).startswith("https://blobs.example.com/blobs/")
    assert ENCODED not in (tmp_path / "log").read_text()
