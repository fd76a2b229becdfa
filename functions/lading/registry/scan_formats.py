"""Formats in which the result of a scan is read, a row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lading.registry.image_scans import ImageScans
from lading.scanning.documents.encoding import encode

JSON: Final = "json"
CYCLONEDX: Final = "cyclonedx"


@dataclass(frozen=True, slots=True)
class ScanFormat:
    """Format of the result of a scan.

    Attributes:
        media_type: of the content.
        render: returns the content, from the repository and the digest of an image. Raises RegistryError.
    """

    media_type: str
    render: Callable[[ImageScans, str, str], bytes]


def _json(scans: ImageScans, repository: str, digest: str) -> bytes:
    return encode(scans.document(repository, digest))


FORMATS: Final[Mapping[str, ScanFormat]] = {
    JSON: ScanFormat("application/json", _json),
    CYCLONEDX: ScanFormat("application/vnd.cyclonedx+json; version=1.6", ImageScans.sbom),
}
"""The formats by their names, in the parameter `format` and the option `--format`."""
