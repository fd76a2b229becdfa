"""Attestation: what Binary Authorization reads at a deployment, and in which form Container Analysis keeps it.

    payload      which image, as JSON of "simple signing"; signed as it is
    signature    of its SHA-256, by a key that the attestor has
    occurrence   both, on the attestor's note, with the image as its resource

https://cloud.google.com/binary-authorization/docs/making-attestations
https://cloud.google.com/container-analysis/docs/reference/rest/v1/projects.occurrences#AttestationOccurrence
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TYPE: Final = "Google cloud binauthz container signature"
"""The type of payloads, as gcloud and the documentation write it."""


@dataclass(frozen=True, slots=True)
class Image:
    """Image, or index, by its digest.

    host        of the registry, with its port if there is one
    repository  where it is
    digest      of its manifest
    """

    host: str
    repository: str
    digest: str

    @property
    def name(self) -> str:
        """HOST/REPOSITORY."""
        return f"{self.host}/{self.repository}"

    @property
    def uri(self) -> str:
        """The resource of occurrences about it."""
        return f"https://{self.name}@{self.digest}"


def payload(image: Image) -> bytes:
    """Return what is signed: byte for byte what `gcloud container binauthz create-signature-payload` writes."""
    critical = {
        "identity": {"docker-reference": image.name},
        "image": {"docker-manifest-digest": image.digest},
        "type": TYPE,
    }
    return f"{json.dumps({'critical': critical}, indent=2, sort_keys=True)}\n".encode()


def key_id(key_version: str) -> str:
    """Return the id that the attestor has for a version of a key of Cloud KMS."""
    return f"//cloudkms.googleapis.com/v1/{key_version}"


def occurrence(note: str, image: Image, key_version: str, signature: bytes) -> dict[str, Any]:
    """Return the attestation of an image.

    Args:
        note: projects/PROJECT/notes/NOTE, the attestor's.
        image: the image.
        key_version: the name of the version of the key that signed.
        signature: of `payload(image)`.
    """
    return {
        "resourceUri": image.uri,
        "noteName": note,
        "attestation": {
            "serializedPayload": base64.b64encode(payload(image)).decode(),
            "signatures": [signature_field(key_version, signature)],
        },
    }


def signature_field(key_version: str, signature: bytes) -> dict[str, str]:
    """Return a signature as an attestation has it."""
    return {"publicKeyId": key_id(key_version), "signature": base64.b64encode(signature).decode()}


def is_signed_by(found: Mapping[str, Any], key_version: str) -> bool:
    """Return whether an occurrence says that a version of a key signed it. The attestor verifies that, not this."""
    attestation = found.get("attestation")
    signatures = attestation.get("signatures") if isinstance(attestation, dict) else None
    wanted = key_id(key_version)
    return isinstance(signatures, list) and any(
        isinstance(each, dict) and each.get("publicKeyId") == wanted for each in signatures
    )
