"""What is signed and written, byte for byte; what an event is about; checksums of signatures; what is imported."""

import base64
import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lading.attester.attestation import Image, key_id, occurrence, payload
from lading.attester.google_api import GoogleApi, GoogleUnavailable
from lading.attester.kms_signer import KmsSigner
from lading.attester.wake_up import InvalidMessage, WakeUp, wake_up_of
from lading.events.cloud_event import cloud_event
from lading.registry.change_context import now
from lading_storage.records.events import Event
from tests.support.binary_authorization import KEY_VERSION, NOTE
from tests.support.discovery import document, faults, unknown

DIGEST: Final = f"sha256:{'5f' * 32}"
IMAGE: Final = Image("registry.example.com", "team/app", DIGEST)

PAYLOAD: Final = """\
{
  "critical": {
    "identity": {
      "docker-reference": "registry.example.com/team/app"
    },
    "image": {
      "docker-manifest-digest": "sha256:5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f5f"
    },
    "type": "Google cloud binauthz container signature"
  }
}
"""
"""As gcloud writes it (googlecloudsdk/command_lib/container/binauthz/util.py, MakeSignaturePayload)."""


def test_the_payload_is_that_of_gcloud() -> None:
    assert payload(IMAGE).decode() == PAYLOAD


def test_the_occurrence_is_one_of_the_discovery_document() -> None:
    made = occurrence(NOTE, IMAGE, KEY_VERSION, b"signature")
    assert faults("containeranalysis.v1", "POST", "v1/projects/p/occurrences", {}, made) == []
    assert unknown(document("containeranalysis.v1"), "Occurrence", made, "occurrence") == []
    attestation = {"attestation": made["attestation"]}
    query = {"updateMask": "attestation"}
    assert faults("containeranalysis.v1", "PATCH", "v1/projects/p/occurrences/o", query, attestation) == []
    query = {"filter": 'resourceUrl="x"', "pageSize": "1000", "pageToken": "x"}
    assert faults("containeranalysis.v1", "GET", "v1/projects/p/notes/n/occurrences", query, None) == []
    assert made["resourceUri"] == f"https://registry.example.com/team/app@{DIGEST}"
    (signature,) = made["attestation"]["signatures"]
    assert signature["publicKeyId"] == key_id(KEY_VERSION) == f"//cloudkms.googleapis.com/v1/{KEY_VERSION}"


class FakeKms(GoogleApi):
    """Cloud KMS that returns what a test wants, in order."""

    def __init__(self, *responses: Mapping[str, Any]) -> None:
        self.responses = list(responses)
        self.bodies: list[Any] = []

    def request(
        self, method: str, url: str, permissions: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Mapping[str, Any]:
        assert faults("cloudkms.v1", method, url.partition(".com/")[2], query or {}, body) == []
        self.bodies.append(body)
        response = self.responses.pop(0)
        assert unknown(document("cloudkms.v1"), "AsymmetricSignResponse", response, "response") == []
        return response


GOOD: Final = {
    "name": KEY_VERSION,
    "signature": base64.b64encode(b"123456789").decode(),
    "signatureCrc32c": str(0xE3069283),  # the check value of CRC-32C (RFC 3720, appendix B.4; CRC catalogue)
    "verifiedDigestCrc32c": True,
}


def test_a_digest_is_signed_and_both_ways_are_checked() -> None:
    kms = FakeKms(GOOD)
    assert KmsSigner(kms, KEY_VERSION).sign(b"content") == b"123456789"
    (body,) = kms.bodies
    assert base64.b64decode(body["digest"]["sha256"]) == hashlib.sha256(b"content").digest()
    assert isinstance(body["digestCrc32c"], str)


@pytest.mark.parametrize(
    "wrong",
    [
        {"signatureCrc32c": "1"},
        {"signatureCrc32c": "x"},
        {"signature": base64.b64encode(b"123456788").decode()},
        {"signature": "%"},
        {"verifiedDigestCrc32c": False},
        {"name": KEY_VERSION.replace("/1", "/2")},
    ],
)
def test_a_signature_whose_checksum_is_wrong_is_requested_again(wrong: Mapping[str, Any]) -> None:
    damaged = {**GOOD, **wrong}
    assert KmsSigner(FakeKms(damaged, damaged, GOOD), KEY_VERSION).sign(b"content") == b"123456789"
    with pytest.raises(GoogleUnavailable, match="checksums of 3 signatures"):
        KmsSigner(FakeKms(*[damaged] * 3), KEY_VERSION).sign(b"content")
    with pytest.raises(GoogleUnavailable):
        KmsSigner(FakeKms(*[{"name": KEY_VERSION}] * 3), KEY_VERSION).sign(b"content")


def message(**fields: Any) -> bytes:
    """Return the push request of an event of the registry."""
    event = Event(id="1", name="1" * 32, type="tag.moved", target="team/app", moved=now(), sequence="1", **fields)
    content = json.dumps(cloud_event(event, "https://registry.example.com")).encode()
    return json.dumps({"message": {"data": base64.b64encode(content).decode()}, "subscription": "s"}).encode()


def test_an_event_names_images() -> None:
    signed = "sha256:" + "a" * 64
    assert wake_up_of(message(digest=DIGEST, tag="v1")) == WakeUp("team/app", (DIGEST,))
    assert wake_up_of(message(digest=DIGEST, tag=f"sha256-{'a' * 64}.sig")) == WakeUp("team/app", (DIGEST, signed))
    assert wake_up_of(message(tag=f"sha256-{'a' * 64}")) == WakeUp("team/app", (signed,))
    assert wake_up_of(message(tag="v1")) is None


def encoded(content: bytes) -> bytes:
    return json.dumps({"message": {"data": base64.b64encode(content).decode()}}).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"message": {"data": 1}}',
        b'{"message": {"data": "%"}}',
        encoded(b"{}"),
        encoded(b"[]"),
        encoded(b'{"data": []}'),
        encoded(b"[" * 100_000),
        encoded(b'{"data": {"repository": "../b", "digest": ""}}'),
        encoded(b'{"data": {"repository": "a", "digest": "sha256:1"}}'),
        encoded(b'{"data": {"repository": ["a"]}}'),
    ],
)
def test_any_other_message_is_dropped(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        wake_up_of(body)


IMPORTS: Final = """
import sys
from lading import attest_function
stores = ("lading_storage.local", "lading_storage.google", "google.cloud.", "grpc", "sqlite3", "lading.policies")
print(*(each for each in sys.modules if each.startswith(stores)))
"""


def test_the_function_imports_no_store() -> None:
    root = Path(__file__).parents[2]
    path = f"{root / 'functions'}:{root / 'storage'}"
    run = subprocess.run(
        [sys.executable, "-c", IMPORTS], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == ""
