"""Signed URLs: that they are signed as Cloud Storage wants it, by whom, and how seldom."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import _signing as googles_own  # type: ignore[import-untyped]
from google.oauth2 import service_account

from lading_storage.errors import StorageError, Unavailable
from lading_storage.google import signed_urls
from lading_storage.google.signed_urls import SignedUrls
from lading_storage.google.url_signers import HmacSigner, KeySigner, Signer, signer_of
from tests.support import fake_iam_world
from tests.support.signed_url_verifier import SignatureRefused, Verifier

ENDPOINT = "https://storage.googleapis.com"
HOST = "storage.googleapis.com"
NOW = datetime(2026, 3, 9, 8, 5, 1, tzinfo=UTC)
NAME = "blobs/0123456789abcdef/0-aa"
VERIFIER = Verifier(
    {"GOOG1EACCESS": "s3cret+/="}, {fake_iam_world.SERVICE_ACCOUNT: fake_iam_world.private_key().public_key()}
)


def key_credentials() -> Any:
    return service_account.Credentials.from_service_account_info(json.loads(fake_iam_world.service_account_key()))  # type: ignore[no-untyped-call]


SIGNERS: dict[str, Callable[[], Signer]] = {
    "hmac": lambda: HmacSigner("GOOG1EACCESS", "s3cret+/="),
    "key": lambda: KeySigner(key_credentials()),
}


def url_of(signer: Signer, bucket: str = "some-bucket") -> str:
    return SignedUrls(ENDPOINT, bucket, signer, NOW.timestamp).url(NAME)


@pytest.mark.parametrize("way", SIGNERS)
def test_cloud_storage_would_take_it_and_nothing_that_was_changed(way: str) -> None:
    url = url_of(SIGNERS[way]())

    VERIFIER.check("GET", url, HOST, NOW)

    for changed, method, host, when in (
        (url.replace("0-aa", "0-ab"), "GET", HOST, NOW),
        (url.replace("some-bucket", "other-bucket"), "GET", HOST, NOW),
        (url.replace("Expires=1200", "Expires=1201"), "GET", HOST, NOW),
        (f"{url}&response-content-type=text%2Fhtml", "GET", HOST, NOW),
        (url, "DELETE", HOST, NOW),
        (url, "GET", "storage.example", NOW),
        (url, "GET", HOST, NOW.replace(minute=26)),
    ):
        with pytest.raises(SignatureRefused):
            VERIFIER.check(method, changed, host, when)


def test_it_is_the_url_that_googles_own_client_makes() -> None:
    expected = googles_own.generate_signed_url_v4(
        key_credentials(), f"/some-bucket/{NAME}", 1200, ENDPOINT, _request_timestamp="20260309T080501Z"
    )

    assert url_of(SIGNERS["key"]()) == expected


def test_who_signs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "hmac"
    key.write_text("GOOG1EACCESS s3cret+/=\n")
    anonymous = AnonymousCredentials()  # type: ignore[no-untyped-call]

    by_file = signer_of(key_credentials(), key)
    assert by_file is not None
    VERIFIER.check("GET", url_of(by_file), HOST, NOW)
    assert isinstance(signer_of(key_credentials(), None), KeySigner)
    assert signer_of(anonymous, None) is None
    key.write_text("GOOG1EACCESS:s3cret")
    with pytest.raises(StorageError, match="ACCESS_ID SECRET") as raised:
        signer_of(anonymous, key)
    assert "s3cret" not in str(raised.value)
    monkeypatch.setenv("K_SERVICE", "registry")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    with pytest.raises(StorageError, match="pulls must be redirected"):
        signer_of(anonymous, None)


class CountingSigner:
    """A signer that counts, takes its time, and can fail."""

    algorithm = "GOOG4-HMAC-SHA256"

    def __init__(self) -> None:
        self.signed = 0
        self.fails = False

    def principal(self) -> str:
        return "GOOG1EACCESS"

    def sign(self, text: bytes, date: str) -> bytes:
        self.signed += 1
        time.sleep(0.05)
        if self.fails:
            raise Unavailable("IAM does not sign")
        return self.signed.to_bytes(4, "big")


@pytest.fixture
def signer() -> CountingSigner:
    return CountingSigner()


@pytest.fixture
def clock() -> SimpleNamespace:
    return SimpleNamespace(now=NOW.timestamp())


@pytest.fixture
def urls(signer: CountingSigner, clock: SimpleNamespace) -> SignedUrls:
    return SignedUrls(ENDPOINT, "some-bucket", signer, lambda: clock.now)


def test_a_url_is_signed_once_and_again_before_it_ends(
    signer: CountingSigner, urls: SignedUrls, clock: SimpleNamespace
) -> None:
    first = urls.url(NAME)
    clock.now += 14 * 60
    assert urls.url(NAME) == first
    assert urls.url("blobs/other/0-aa") != first
    assert signer.signed == 2

    clock.now += 2 * 60

    assert urls.url(NAME) != first
    assert signer.signed == 3


def test_of_many_that_want_the_same_url_one_signs(signer: CountingSigner, urls: SignedUrls) -> None:
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(urls.url(NAME))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(got), len(set(got)), signer.signed) == (20, 1, 1)


def test_a_failure_is_everybodys_who_waits_and_is_not_kept(signer: CountingSigner, urls: SignedUrls) -> None:
    signer.fails = True
    failed: list[Unavailable] = []

    def want() -> None:
        with pytest.raises(Unavailable) as raised:
            urls.url(NAME)
        failed.append(raised.value)

    threads = [threading.Thread(target=want) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 5

    signer.fails = False
    assert urls.url(NAME)


def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch, signer: CountingSigner) -> None:
    monkeypatch.setattr(signed_urls, "MAX_CACHED", 2)
    urls = SignedUrls(ENDPOINT, "some-bucket", signer)
    for name in ("a", "b", "c", "c", "a"):
        urls.url(name)
    assert signer.signed == 4
