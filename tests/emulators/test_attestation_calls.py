"""The fake of Container Analysis and Cloud KMS is as strict as the real ones: Google's own client talks to it."""

import base64
import contextlib
import hashlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import google_crc32c
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build  # type: ignore[import-untyped]
from googleapiclient.errors import HttpError  # type: ignore[import-untyped]

from lading.attester.attestation import Image, occurrence
from tests.support.auth_fixtures import iam, world
from tests.support.binary_authorization import KEY, KEY_VERSION, MEMBER, NOTE, add_attestor
from tests.support.discovery import document, unknown
from tests.support.fake_iam_world import PROJECT, FakeIamWorld

__all__ = ["iam", "world"]

IMAGE = Image("registry.example.com", "team/app", f"sha256:{'5f' * 32}")
Service = Callable[[str], Any]


@pytest.fixture
def service(world: FakeIamWorld) -> Iterator[Service]:
    """Makes Google's client of an API, of its discovery document, at the fake."""
    token = add_attestor(world)
    world.fields["cryptoKeys"][KEY]["bindings"][MEMBER].append("cloudkms.cryptoKeyVersions.viewPublicKey")
    world.save()
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")

        def make(name: str) -> Any:
            client = build(
                name,
                "v1",
                credentials=Credentials(token),  # type: ignore[no-untyped-call]
                client_options={"api_endpoint": f"{world.iam.url}/"},
                static_discovery=True,
                cache_discovery=False,
            )
            return stack.enter_context(contextlib.closing(client))

        yield make


def refused(request: Any) -> int:
    with pytest.raises(HttpError) as raised:
        request.execute()
    return int(raised.value.resp.status)


def test_occurrences_are_created_once_listed_and_changed(service: Service) -> None:
    projects, schema = service("containeranalysis").projects(), document("containeranalysis.v1")
    body = occurrence(NOTE, IMAGE, KEY_VERSION, b"signature")
    made = projects.occurrences().create(parent=f"projects/{PROJECT}", body=body).execute()
    assert unknown(schema, "Occurrence", made, "occurrence") == []
    assert made.items() >= body.items()
    assert refused(projects.occurrences().create(parent=f"projects/{PROJECT}", body=body)) == 409

    listed = projects.notes().occurrences().list(name=NOTE, filter=f'resourceUrl="{IMAGE.uri}"').execute()
    assert unknown(schema, "ListNoteOccurrencesResponse", listed, "list") == []
    assert listed == {"occurrences": [made]}
    assert projects.notes().occurrences().list(name=NOTE, filter='resourceUrl="https://a/b"').execute() == {}
    assert refused(projects.notes().occurrences().list(name=NOTE, filter="nonsense")) == 400
    assert refused(projects.notes().occurrences().list(name=NOTE, pageSize=1001)) == 400

    other = occurrence(NOTE, IMAGE, KEY_VERSION, b"other")["attestation"]
    change = projects.occurrences().patch(name=made["name"], updateMask="attestation", body={"attestation": other})
    assert change.execute() == {**made, "attestation": other}
    assert refused(projects.occurrences().patch(name=made["name"], body={"attestation": other})) == 400


def test_pages_of_occurrences_are_all_of_them(service: Service) -> None:
    projects = service("containeranalysis").projects()
    images = [Image("registry.example.com", f"team/app{number}", IMAGE.digest) for number in range(5)]
    for each in images:
        body = occurrence(NOTE, each, KEY_VERSION, b"signature")
        projects.occurrences().create(parent=f"projects/{PROJECT}", body=body).execute()
    found, token = [], None
    for _ in range(3):
        page = projects.notes().occurrences().list(name=NOTE, pageSize=2, pageToken=token).execute()
        found += [each["resourceUri"] for each in page["occurrences"]]
        token = page.get("nextPageToken")
    assert (sorted(found), token) == (sorted(each.uri for each in images), None)


@pytest.mark.parametrize(
    "change",
    [
        {"resourceUri": "registry.example.com/team/app:v1"},
        {"noteName": f"projects/{PROJECT}/notes/other"},
        {"attestation": {"serializedPayload": "e30=", "signatures": []}},
        {"attestation": {"serializedPayload": "e30=", "signatures": [{"publicKeyId": "key", "signature": "eA=="}]}},
        {"attestation": {"serializedPayload": "%", "signatures": [{"publicKeyId": "//key", "signature": "eA=="}]}},
        {"kind": "ATTESTATION"},
    ],
)
def test_what_is_no_attestation_is_refused(service: Service, change: dict[str, Any]) -> None:
    occurrences = service("containeranalysis").projects().occurrences()
    body = {**occurrence(NOTE, IMAGE, KEY_VERSION, b"signature"), **change}
    assert refused(occurrences.create(parent=f"projects/{PROJECT}", body=body)) in (400, 403)


def test_a_signature_verifies_and_checksums_are_checked(service: Service) -> None:
    keys = service("cloudkms").projects().locations().keyRings().cryptoKeys().cryptoKeyVersions()
    digest = hashlib.sha256(b"content").digest()
    body: dict[str, Any] = {
        "digest": {"sha256": base64.b64encode(digest).decode()},
        "digestCrc32c": str(google_crc32c.value(digest)),
    }
    signed = keys.asymmetricSign(name=KEY_VERSION, body=body).execute()
    public = keys.getPublicKey(name=KEY_VERSION).execute()

    schema = document("cloudkms.v1")
    assert unknown(schema, "AsymmetricSignResponse", signed, "signed") == []
    assert unknown(schema, "PublicKey", public, "public") == []
    assert google_crc32c.value(public["pem"].encode()) == int(public["pemCrc32c"])
    key: Any = load_pem_public_key(public["pem"].encode())
    key.verify(base64.b64decode(signed["signature"]), b"content", ECDSA(SHA256()))
    for wrong in (
        {"digestCrc32c": "1"},
        {"digest": {"sha512": body["digest"]["sha256"]}},
        {"digest": {"sha256": "eA=="}},
    ):
        assert refused(keys.asymmetricSign(name=KEY_VERSION, body={**body, **wrong})) == 400
    assert refused(keys.asymmetricSign(name=f"{KEY}/cryptoKeyVersions/9", body=body)) == 404


def test_each_call_needs_its_right(service: Service, world: FakeIamWorld) -> None:
    made = service("containeranalysis").projects()
    body = occurrence(NOTE, IMAGE, KEY_VERSION, b"signature")
    keys = service("cloudkms").projects().locations().keyRings().cryptoKeys().cryptoKeyVersions()
    world.fields["projects"], world.fields["notes"][NOTE]["bindings"] = {}, {}
    world.fields["cryptoKeys"][KEY]["bindings"] = {}
    world.save()

    assert refused(made.occurrences().create(parent=f"projects/{PROJECT}", body=body)) == 403
    assert refused(made.notes().occurrences().list(name=NOTE)) == 403
    assert refused(made.occurrences().patch(name=f"projects/{PROJECT}/occurrences/1", body={})) == 403
    assert refused(keys.asymmetricSign(name=KEY_VERSION, body={})) == 403
    assert refused(keys.getPublicKey(name=KEY_VERSION)) == 403
