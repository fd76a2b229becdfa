"""Formats in which the result of a scan is read, a row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lading.registry.image_scans import ImageScans
from lading.scanning.documents.encoding import encode
from lading.scanning.documents.harbor import harbor
from lading.scanning.documents.occurrences import occurrences
from lading.scanning.documents.sarif import sarif
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.documents.spdx import spdx

JSON: Final = "json"


@dataclass(frozen=True, slots=True)
class ScannedImage:
    """Image of which a result is read.

    Attributes:
        registry: the URL that clients see, or "" if it is not known.
        repository: of the image.
        digest: of the image.
    """

    registry: str
    repository: str
    digest: str


@dataclass(frozen=True, slots=True)
class ScanFormat:
    """Format of the result of a scan.

    Attributes:
        media_type: of the content.
        render: returns the content, from an image. Raises RegistryError.
    """

    media_type: str
    render: Callable[[ImageScans, ScannedImage], bytes]


def _of_document(convert: Callable[[ScanDocument], bytes]) -> Callable[[ImageScans, ScannedImage], bytes]:
    return lambda scans, image: convert(scans.document(image.repository, image.digest))


def _cyclonedx(scans: ImageScans, image: ScannedImage) -> bytes:
    return scans.sbom(image.repository, image.digest)


def _spdx(scans: ImageScans, image: ScannedImage) -> bytes:
    return spdx(_cyclonedx(scans, image))


def _occurrences(scans: ImageScans, image: ScannedImage) -> bytes:
    host = urlsplit(image.registry).netloc
    name = f"{host}/{image.repository}" if host else image.repository
    return occurrences(scans.document(image.repository, image.digest), f"{name}@{image.digest}")


FORMATS: Final[Mapping[str, ScanFormat]] = {
    JSON: ScanFormat("application/json", _of_document(encode)),
    "cyclonedx": ScanFormat("application/vnd.cyclonedx+json; version=1.6", _cyclonedx),
    "spdx": ScanFormat("application/spdx+json", _spdx),
    "sarif": ScanFormat("application/sarif+json", _of_document(sarif)),
    "harbor": ScanFormat("application/vnd.security.vulnerability.report; version=1.1", _of_document(harbor)),
    "occurrences": ScanFormat("application/json", _occurrences),
}
"""The formats by their names, in the parameter `format` and the option `--format`."""
