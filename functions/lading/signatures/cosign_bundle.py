"""Signatures of cosign 3: bundles of Sigstore that hold an envelope of DSSE, attached to the image by `subject`.

    bundle ──▶ envelope ──a key of the policy, or an identity──▶ payload ──parsed only now──▶ statement about the digest

cosign's attestations are the same kind of bundle. A statement is a signature by its predicate type alone: a key that
attests an SBOM does not approve the image. Bundles of a message signature (`cosign sign-blob`) do not count.
https://github.com/sigstore/protobuf-specs, cosign's specs/BUNDLE_SPEC.md and pkg/types/predicate.go
"""

from typing import Any, Final

from lading.signatures.dsse import PAYLOAD_TYPE, STATEMENTS, pre_authentication
from lading.signatures.public_keys import Message, is_valid
from lading.signatures.signature import BUNDLE, Anchors, NotVerified, Signature
from lading.signatures.strict_json import decode_base64, parse_object

PREDICATE: Final = "https://sigstore.dev/cosign/sign/v1"

MAX_SUBJECTS: Final = 100
"""Subjects of a statement."""


def verify(content: bytes, anchors: Anchors, digest: str) -> Signature:
    """Return the signature that a bundle is.

    Args:
        content: of the layer.
        anchors: the keys and the root of identities; what the bundle brings along never counts as one.
        digest: of the manifest that is to be signed.

    Raises:
        NotVerified: it is none.
    """
    bundle = parse_object(content, "bundle")
    if bundle.get("mediaType") != BUNDLE:
        raise NotVerified("the bundle is not of version 0.3")
    material = bundle.get("verificationMaterial")
    if not isinstance(material, dict):
        raise NotVerified("the bundle has no verification material")
    if "certificate" in material:
        signature, payload = _by_identity(content, anchors)
    else:
        signature, payload = _by_key(bundle, material, anchors)
    check_statement(payload, digest)
    return signature


def _by_key(bundle: dict[str, Any], material: dict[str, Any], anchors: Anchors) -> tuple[Signature, bytes]:
    """Return the signature, and the payload, of a bundle that a key made."""
    if not isinstance(material.get("publicKey"), dict):
        raise NotVerified("the bundle names neither a key nor a certificate")
    payload, signed, signature = _open(bundle.get("dsseEnvelope"))
    return Signature(signer=signer_of(anchors, signature, signed), format="cosign-bundle"), payload


def _by_identity(content: bytes, anchors: Anchors) -> tuple[Signature, bytes]:
    """Return the signature, and the payload, of a bundle with a certificate of an identity."""
    if anchors.trusted_root is None:
        raise NotVerified("an identity signed it, and no policy trusts identities")
    from lading.signatures.keyless import verify

    return verify(content, anchors.trusted_root)


def signer_of(anchors: Anchors, signature: bytes, signed: bytes) -> str:
    """Return the fingerprint of the key that made a signature. Raises NotVerified."""
    if not anchors.keys:
        raise NotVerified("a key signed it, and no policy trusts keys")
    message = Message(signed)
    for fingerprint, key in anchors.keys.items():
        if is_valid(key, signature, message):
            return fingerprint
    raise NotVerified("no key of a policy signed it")


def _open(envelope: object) -> tuple[bytes, bytes, bytes]:
    """Return the payload of an envelope, what is signed, and its one signature."""
    match envelope:
        case {"payloadType": str(payload_type), "payload": payload, "signatures": [{"sig": signature}]}:
            if payload_type != PAYLOAD_TYPE:
                raise NotVerified("its payload is not a statement of in-toto")
            decoded = decode_base64(payload, "payload")
            return decoded, pre_authentication(PAYLOAD_TYPE, decoded), decode_base64(signature, "signature")
    raise NotVerified("the bundle holds no envelope with one signature")


def check_statement(payload: bytes, digest: str) -> None:
    """Check that a statement, whose signature holds, is cosign's signature of a digest. Raises NotVerified."""
    statement = parse_object(payload, "statement")
    if statement.get("_type") not in STATEMENTS:
        raise NotVerified("it is no statement of in-toto")
    if (predicate := statement.get("predicateType")) != PREDICATE:
        raise NotVerified(f"it is no signature, but an attestation of type {str(predicate)[:100]!a}")
    subjects = statement.get("subject")
    if not isinstance(subjects, list) or len(subjects) > MAX_SUBJECTS:
        raise NotVerified(f"the statement has no subjects, or more than {MAX_SUBJECTS}")
    algorithm, _, value = digest.partition(":")
    if not any(_digests(each).get(algorithm) == value for each in subjects):
        raise NotVerified("it signs another digest")


def _digests(subject: object) -> dict[str, Any]:
    match subject:
        case {"digest": dict(digests)}:
            return digests
    raise NotVerified("a subject of the statement has no digest")
