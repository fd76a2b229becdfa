"""OpenVEX documents that a key signed, and how clients attach them to an image."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lading.registry.push import PushRequest
from lading.registry.registry import Registry
from lading.signatures.dsse import PAYLOAD_TYPE, pre_authentication
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest
from tests.support import images
from tests.support.registry_pushes import push_blob

VEX: Final = "https://openvex.dev/ns/v0.2.0"
BUNDLE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
ENVELOPE: Final = "application/vnd.dsse.envelope.v1+json"
EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
NAMED: Final = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": VEX}

KEY: Final = ec.generate_private_key(ec.SECP256R1())
FORGER: Final = ec.generate_private_key(ec.SECP256R1())


def public_pem(key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def write_keys(folder: Path, **keys: ec.EllipticCurvePrivateKey) -> Path:
    """Write public keys into a folder, by default one with the name "release"."""
    folder.mkdir(exist_ok=True)
    for name, key in (keys or {"release": KEY}).items():
        (folder / f"{name}.pem").write_bytes(public_pem(key))
    return folder


def document(id: str, product: str, status: str = "not_affected", **fields: Any) -> dict[str, Any]:
    """A document with one statement about a product."""
    why = {"justification": "vulnerable_code_not_present"} if status == "not_affected" else {}
    statement = {"vulnerability": {"name": id}, "status": status, "products": [{"@id": product}], **why}
    return {"@context": VEX, "timestamp": "2026-01-01T00:00:00Z", "statements": [statement], **fields}


def envelope(
    predicate: Mapping[str, Any],
    digest: str,
    key: ec.EllipticCurvePrivateKey = KEY,
    predicate_type: str = VEX,
) -> dict[str, Any]:
    """An envelope of DSSE with a statement about a digest."""
    algorithm, _, value = digest.partition(":")
    subject = [{"name": "app", "digest": {algorithm: value}}]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": subject,
        "predicateType": predicate_type,
        "predicate": predicate,
    }
    payload = json.dumps(statement).encode()
    signature = key.sign(pre_authentication(PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256()))
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"sig": base64.b64encode(signature).decode()}],
    }


def bundle(envelope: Mapping[str, Any]) -> bytes:
    """A bundle of Sigstore around an envelope, as cosign 3 writes it."""
    material = {"publicKey": {"hint": "x"}, "tlogEntries": []}
    return json.dumps({"mediaType": BUNDLE, "verificationMaterial": material, "dsseEnvelope": envelope}).encode()


def push(registry: Registry, repository: str, content: bytes, reference: str) -> Manifest:
    """Push a manifest as a client does."""
    request = PushRequest(reference, lambda max_size, *, digest_checked: content)
    return registry.push(repository, request).manifest


def attach(
    registry: Registry,
    subject: Manifest,
    content: bytes,
    artifact_type: str = BUNDLE,
    annotations: Mapping[str, str] = NAMED,
    *,
    described: Mapping[str, Any] = MappingProxyType({}),
) -> Manifest:
    """Attach a blob to an image by `subject`, as cosign 3 and oras do; `described` is wrong in its descriptor."""
    for blob in (images.EMPTY_CONFIG, content):
        push_blob(registry, subject.repository, blob)
    manifest = json.loads(images.signature(content, artifact_type, annotations=dict(annotations)))
    manifest["config"]["mediaType"] = EMPTY_TYPE
    manifest["layers"][0] |= described
    about = {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.size}
    whole = json.dumps(manifest | {"artifactType": artifact_type, "subject": about}).encode()
    return push(registry, subject.repository, whole, digest_of(whole))


def attach_by_tag(
    registry: Registry, subject: Manifest, *envelopes: Mapping[str, Any], predicate_type: str = VEX
) -> Manifest:
    """Attach envelopes to an image by its tag for attestations, as cosign 1 and 2 and vexctl do."""
    contents = [json.dumps(each).encode() for each in envelopes]
    for blob in (images.EMPTY_CONFIG, *contents):
        push_blob(registry, subject.repository, blob)
    named = {"predicateType": predicate_type}
    layers = [images.descriptor(each, ENVELOPE) | {"annotations": named} for each in contents]
    return push(
        registry,
        subject.repository,
        json.dumps(json.loads(images.manifest([])) | {"layers": layers}).encode(),
        f"{subject.digest.replace(':', '-')}.att",
    )
