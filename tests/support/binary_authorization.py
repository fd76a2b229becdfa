"""Binary Authorization as it verifies attestations at a deployment, and the world of an attester.

An attestor has a note and public keys. An image is admitted if one occurrence on the note has a payload that names its
digest, and a signature that one of the keys verifies, found by its id. The registry's name in the payload does not
count: "a single attestation can authorize identical images in multiple locations"
(https://cloud.google.com/binary-authorization/docs/making-attestations).
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.fake_iam_world import PROJECT, FakeIamWorld

ACCOUNT: Final = "lading-attest@some-project.iam.gserviceaccount.com"
MEMBER: Final = f"serviceAccount:{ACCOUNT}"
NOTE: Final = f"projects/{PROJECT}/notes/lading"
KEY: Final = f"projects/{PROJECT}/locations/europe-west1/keyRings/lading/cryptoKeys/attest"
KEY_VERSION: Final = f"{KEY}/cryptoKeyVersions/1"

ON_PROJECT: Final = ("containeranalysis.occurrences.create", "containeranalysis.occurrences.update")
ON_NOTE: Final = ("containeranalysis.notes.attachOccurrence", "containeranalysis.notes.listOccurrences")
ON_KEY: Final = ("cloudkms.cryptoKeyVersions.useToSign",)


@cache
def signing_key(version: str = "1") -> ec.EllipticCurvePrivateKey:
    """Return the private key of a version."""
    return ec.generate_private_key(ec.SECP256R1())


def pem(version: str = "1") -> str:
    """Return the private key of a version as PEM."""
    encoding, format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return signing_key(version).private_bytes(encoding, format, serialization.NoEncryption()).decode()


def add_attestor(world: FakeIamWorld, **assumptions: bool) -> str:
    """Give a world a note and a key, and the account of the function all rights; return its access token."""
    world.fields["notes"] = {NOTE: {"bindings": {MEMBER: list(ON_NOTE)}}}
    world.fields["cryptoKeys"] = {KEY: {"bindings": {MEMBER: list(ON_KEY)}, "versions": {"1": pem(), "2": pem("2")}}}
    world.fields["attestations"] = assumptions
    world.project(*ON_PROJECT, member=MEMBER)
    return world.token("attest", email=ACCOUNT)


def occurrences_of(world: FakeIamWorld) -> list[Mapping[str, Any]]:
    """Return all occurrences of a world."""
    return list(json.loads(world.iam.world.read_text()).get("occurrences", {}).values())


@dataclass
class Attestor:
    """An attestor, with the public keys of some versions of the key."""

    versions: list[str] = field(default_factory=lambda: ["1"])
    note: str = NOTE

    def admits(self, world: FakeIamWorld, digest: str) -> bool:
        """Return whether an image may be deployed."""
        return any(self._verifies(each, digest) for each in occurrences_of(world))

    def _verifies(self, occurrence: Mapping[str, Any], digest: str) -> bool:
        attestation = occurrence["attestation"]
        payload = base64.b64decode(attestation["serializedPayload"])
        critical = json.loads(payload)["critical"]
        names_it = critical["image"] == {"docker-manifest-digest": digest}
        is_attestation = critical["type"].lower() == "google cloud binauthz container signature"
        is_signed = any(self._is_signature(each, payload) for each in attestation["signatures"])
        return occurrence["noteName"] == self.note and names_it and is_attestation and is_signed

    def _is_signature(self, signature: Mapping[str, Any], payload: bytes) -> bool:
        keys = {f"//cloudkms.googleapis.com/v1/{KEY}/cryptoKeyVersions/{each}": each for each in self.versions}
        if signature["publicKeyId"] not in keys:
            return False
        public = signing_key(keys[signature["publicKeyId"]]).public_key()
        try:
            public.verify(base64.b64decode(signature["signature"]), payload, ec.ECDSA(SHA256()))
        except InvalidSignature:
            return False
        return True
