"""Documents of a scan as referrers of the image: each is a manifest with an empty config and one blob.

https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md#guidelines-for-artifact-usage
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lading.registry.content.manifest_format import OCI_MANIFEST
from lading.registry.content.referrer_tags import NOT_ATTACHED
from lading_storage.digests import digest_of
from lading_storage.records.core import Manifest

SCANNER: Final = "lading-scanner"
"""The principal that makes the documents."""

EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
EMPTY: Final = b"{}"

CYCLONEDX: Final = "application/vnd.cyclonedx+json"
IN_TOTO: Final = "application/vnd.in-toto+json"
"""Artifact types of the SBOM and the report."""

PREDICATE_TYPE: Final = "in-toto.io/predicate-type"
"""The annotation by which cosign and BuildKit name the predicate of a statement."""

VULNERABILITIES: Final = "https://in-toto.io/attestation/vulns/v0.1"

CREATED: Final = "org.opencontainers.image.created"


@dataclass(frozen=True, slots=True)
class Document:
    """Document of a scan.

    Attributes:
        artifact_type: CYCLONEDX or IN_TOTO.
        content: its bytes.
    """

    artifact_type: str
    content: bytes

    @property
    def digest(self) -> str:
        """The digest of its blob."""
        return digest_of(self.content)

    def manifest(self, subject: Manifest, at: datetime) -> Manifest:
        """Return the manifest by which the document refers to an image.

        The time of the result is part of it, so that two results never have the same manifest, and a repeated result
        always has.
        """
        annotations = {CREATED: at.isoformat()}
        if self.artifact_type == IN_TOTO:
            annotations[PREDICATE_TYPE] = VULNERABILITIES
        fields = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": self.artifact_type,
            "config": {"mediaType": EMPTY_TYPE, "digest": digest_of(EMPTY), "size": len(EMPTY)},
            "layers": [{"mediaType": self.artifact_type, "digest": self.digest, "size": len(self.content)}],
            "subject": {"mediaType": subject.media_type, "digest": subject.id, "size": subject.size},
            "annotations": annotations,
        }
        content = json.dumps(fields, separators=(",", ":")).encode()
        return Manifest(
            id=digest_of(content),
            repository=subject.repository,
            media_type=OCI_MANIFEST,
            size=len(content),
            content=content,
            artifact_type=self.artifact_type,
            subject=subject.id,
            attachment=NOT_ATTACHED,
            blobs=tuple(dict.fromkeys((digest_of(EMPTY), self.digest))),
            created=at,
        )
