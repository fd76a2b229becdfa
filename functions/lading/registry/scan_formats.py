"""Formats in which the result of a scan is read, a row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lading.registry.image_scans import ImageScans
from lading.scanning.documents.encoding import encode
from lading.scanning.documents.harbor import harbor
from lading.scanning.documents.sarif import sarif
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.documents.spdx import spdx

JSON: Final = "json"


@dataclass(frozen=True, slots=True)
class ScanFormat:
    """Format of the result of a scan.

    Attributes:
        media_type: of the content.
        render: returns the content, from the repository and the digest of an image. Raises RegistryError.
    """

    media_type: str
    render: Callable[[ImageScans, str, str], bytes]


def _of_document(convert: Callable[[ScanDocument], bytes]) -> Callable[[ImageScans, str, str], bytes]:
    return lambda scans, repository, digest: convert(scans.document(repository, digest))


def _spdx(scans: ImageScans, repository: str, digest: str) -> bytes:
    return spdx(scans.sbom(repository, digest))


FORMATS: Final[Mapping[str, ScanFormat]] = {
    JSON: ScanFormat("application/json", _of_document(encode)),
    "cyclonedx": ScanFormat("application/vnd.cyclonedx+json; version=1.6", ImageScans.sbom),
    "spdx": ScanFormat("application/spdx+json", _spdx),
    "sarif": ScanFormat("application/sarif+json", _of_document(sarif)),
    "harbor": ScanFormat("application/vnd.security.vulnerability.report; version=1.1", _of_document(harbor)),
}
"""The formats by their names, in the parameter `format` and the option `--format`."""
