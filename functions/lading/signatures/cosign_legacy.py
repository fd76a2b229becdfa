"""Signatures of cosign 1 and 2: layers of the manifest with the tag `sha256-….sig`, each signed in an annotation.

    layer ──the annotation holds by a key of the policy──▶ layer, parsed only now ──▶ simple signing about the digest

The name of the image in the payload is not compared, as cosign does not: an image that is copied keeps its signature.
https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md
"""

from collections.abc import Mapping
from typing import Any, Final

from lading.signatures.cosign_bundle import signer_of
from lading.signatures.signature import Anchors, NotVerified, Signature
from lading.signatures.strict_json import decode_base64, parse_object

ANNOTATION: Final = "dev.cosignproject.cosign/signature"
TYPE: Final = "cosign container image signature"


def verify(content: bytes, annotations: Mapping[str, str], anchors: Anchors, digest: str) -> Signature:
    """Return the signature that a layer is.

    Args:
        content: of the layer: the payload.
        annotations: of the layer; those with certificates and entries of a log are not read.
        anchors: of which the keys are tried.
        digest: of the manifest that is to be signed.

    Raises:
        NotVerified: it is none.
    """
    if ANNOTATION not in annotations:
        raise NotVerified(f"the layer has no annotation {ANNOTATION}")
    signature = decode_base64(annotations[ANNOTATION], "signature")
    signer = signer_of(anchors, signature, content)
    if digest_in(content) != digest:
        raise NotVerified("it signs another digest")
    return Signature(signer=signer, format="cosign-tag")


def digest_in(content: bytes) -> str:
    """Return the digest that a payload of simple signing is about. Raises NotVerified."""
    fields: dict[str, Any] = parse_object(content, "payload")
    match fields:
        case {"critical": {"type": str(kind), "image": {"docker-manifest-digest": str(digest)}}} if kind == TYPE:
            return digest
    raise NotVerified("the payload is no simple signing of cosign")
