"""Signatures as cosign makes them, by keys of the tests, and how they are attached to an image."""

import base64
import json
from typing import Any, Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from lading.policies.policy_json import policies_text
from lading.registry.change_context import now
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesDocument, change_rules
from lading.registry.trust_records import signature_tag
from lading.signatures.cosign_bundle import PREDICATE
from lading.signatures.cosign_legacy import ANNOTATION, TYPE
from lading.signatures.public_keys import fingerprint
from lading.signatures.signature import BUNDLE, SIMPLE_SIGNING, Anchors
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Manifest
from tests.support import images
from tests.support.registry_pushes import push_blob, push_manifest
from tests.support.vex_documents import attach, bundle, envelope, public_pem

RELEASE: Final = ec.generate_private_key(ec.SECP256R1())
OTHER: Final = ec.generate_private_key(ec.SECP256R1())
FORGER: Final = ec.generate_private_key(ec.SECP256R1())


def name_of(key: ec.EllipticCurvePrivateKey) -> str:
    """The fingerprint of a key, as records have it."""
    return fingerprint(key.public_key())


def anchors(*keys: ec.EllipticCurvePrivateKey) -> Anchors:
    """What signatures of some keys are verified with."""
    return Anchors(keys={name_of(key): key.public_key() for key in keys})


def sign(
    registry: Registry,
    image: Manifest,
    key: ec.EllipticCurvePrivateKey = RELEASE,
    *,
    number: int = 0,
    digest: str = "",
) -> Manifest:
    """Attach a signature to an image by `subject`, as cosign 3 does; `digest` is what it signs instead."""
    signed = envelope({"number": number}, digest or image.digest, key, PREDICATE)
    return attach(registry, image, bundle(signed), BUNDLE, annotations={})


def sign_by_tag(
    registry: Registry, image: Manifest, *keys: ec.EllipticCurvePrivateKey, tag: str | None = None
) -> Manifest:
    """Attach signatures to an image by its tag for signatures, as cosign 1 and 2 do."""
    return push_manifest(
        registry,
        image.repository,
        tagged_signatures(registry, image, *keys),
        *([signature_tag(image.digest)] if tag is None else [tag] if tag else []),
    )


def tagged_signatures(registry: Registry, image: Manifest, *keys: ec.EllipticCurvePrivateKey) -> bytes:
    """The manifest of such signatures; its blobs are pushed."""
    payload = simple_signing(image.digest)
    for blob in (images.EMPTY_CONFIG, payload):
        push_blob(registry, image.repository, blob)
    layers = [
        images.descriptor(payload, SIMPLE_SIGNING) | {"annotations": {ANNOTATION: signature_of(payload, key)}}
        for key in keys or (RELEASE,)
    ]
    return json.dumps(json.loads(images.manifest([])) | {"layers": layers}).encode()


def simple_signing(digest: str) -> bytes:
    """The payload that cosign 1 and 2 sign."""
    critical: dict[str, Any] = {
        "identity": {"docker-reference": "app"},
        "image": {"docker-manifest-digest": digest},
        "type": TYPE,
    }
    return json.dumps({"critical": critical, "optional": None}).encode()


def signature_of(content: bytes, key: ec.EllipticCurvePrivateKey) -> str:
    """A signature of bytes, in base64."""
    return base64.b64encode(key.sign(content, ec.ECDSA(hashes.SHA256()))).decode()


def require_signatures(
    metadata: MetadataStore, repositories: str = "team/*", **keys: ec.EllipticCurvePrivateKey
) -> None:
    """Set the policy that images of some repositories need a signature by one of some keys, by default `release`."""
    named = [{"name": name, "pem": public_pem(key).decode()} for name, key in (keys or {"release": RELEASE}).items()]
    policy = {"name": "prod", "repositories": [repositories], "signatures": {"keys": named}}
    text = policies_text([policy])
    change_rules(metadata, RulesDocument({REGISTRY: {"policies": text}}), "alice", now)
