"""Packages of Debian and its derivatives, as dpkg's database lists them (man deb-control, man dpkg-query)."""

import re
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.lines import lines
from lading.scanning.limits import MAX_DATABASE
from lading.scanning.packages import DEB, Package

STATUS: Final = "var/lib/dpkg/status"
STATUS_FOLDER: Final = "var/lib/dpkg/status.d/"
"""Distroless images have a file here for each package, and no status."""
FIELDS: Final = {each.encode(): each for each in ("Package", "Version", "Source", "Architecture", "Status")}
NOT_THERE: Final = ("not-installed", "config-files")
"""States of a package whose files are not there."""
SOURCE: Final = re.compile(r"(\S+)(?:\s*\((.+)\))?")


class Dpkg:
    """Reads the status of dpkg, and the status.d of distroless images."""

    name = "database of dpkg"
    limit = MAX_DATABASE

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the path is one of dpkg's."""
        return path == STATUS or (path.startswith(STATUS_FOLDER) and not path.endswith(".md5sums"))

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the packages whose files are in the image."""
        for fields in _paragraphs(file.content):
            if "Package" in fields and fields.get("Status", "").rpartition(" ")[2] not in NOT_THERE:
                yield _package(fields, file.path)


def _paragraphs(content: BinaryIO) -> Iterator[dict[str, str]]:
    """Yield the fields of each package."""
    fields: dict[str, str] = {}
    for line in lines(content):
        name, colon, value = line.partition(b":")
        if name in FIELDS and colon:
            fields[FIELDS[name]] = value.decode("utf-8", "replace").strip()
        elif fields and line.isspace():
            yield fields
            fields = {}
    if fields:
        yield fields


def _package(fields: dict[str, str], path: str) -> Package:
    version = fields.get("Version", "")
    source = SOURCE.match(fields.get("Source", ""))
    return Package(
        type=DEB,
        name=fields["Package"],
        version=version,
        arch=fields.get("Architecture", ""),
        source=source[1] if source and source[1] != fields["Package"] else "",
        source_version=(source[2] or "") if source and source[2] != version else "",
        path=path,
    )
