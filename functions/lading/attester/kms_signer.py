"""KmsSigner: signatures of one version of a key of Cloud KMS, whose private half never leaves it.

Both directions carry checksums, so that a bit that changes on the way is noticed, and the request repeated: a signature
of something else would be an attestation that no deployment accepts.

https://cloud.google.com/kms/docs/data-integrity-guidelines
https://cloud.google.com/kms/docs/reference/rest/v1/projects.locations.keyRings.cryptoKeys.cryptoKeyVersions/asymmetricSign
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any, Final

import google_crc32c

from lading.attester.google_api import GoogleApi, GoogleUnavailable

URL: Final = "https://cloudkms.googleapis.com/v1"

ATTEMPTS: Final = 3
"""Attempts to get a signature whose checksums are right."""


class KmsSigner:
    """Signs as a version of a key of the algorithm EC_SIGN_P256_SHA256."""

    def __init__(self, api: GoogleApi, key_version: str) -> None:
        """Sign with `key_version`: projects/…/cryptoKeyVersions/NUMBER."""
        self._api = api
        self._key_version = key_version

    def sign(self, content: bytes) -> bytes:
        """Return the signature of some bytes, as DER. Raises GoogleError."""
        digest = hashlib.sha256(content).digest()
        body = {
            "digest": {"sha256": base64.b64encode(digest).decode()},
            "digestCrc32c": str(google_crc32c.value(digest)),  # int64 is a string in JSON
        }
        for _ in range(ATTEMPTS):
            response = self._api.request(
                "POST",
                f"{URL}/{self._key_version}:asymmetricSign",
                f"cloudkms.cryptoKeyVersions.useToSign on {self._key_version.rpartition('/cryptoKeyVersions/')[0]}",
                body,
            )
            if (signature := self._checked(response)) is not None:
                return signature
        raise GoogleUnavailable(f"the checksums of {ATTEMPTS} signatures by {self._key_version} are wrong")

    def _checked(self, response: Mapping[str, Any]) -> bytes | None:
        """Return the signature in a response, or None where anything in it is not what it should be."""
        try:
            signature = base64.b64decode(response["signature"], validate=True)
            is_whole = google_crc32c.value(signature) == int(response["signatureCrc32c"])
        except (KeyError, TypeError, ValueError):
            return None
        is_verified = response.get("verifiedDigestCrc32c") is True and response.get("name") == self._key_version
        return signature if is_whole and is_verified else None
