"""Packages of Python, as the metadata of each installed one names it.

The format: https://packaging.python.org/en/latest/specifications/core-metadata. Read by hand and up to a limit:
email.parser takes 10 s and 900 MB for a file of 60 MB.
"""

from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import BinaryIO, Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.zip_archive import Budget, ZipArchive
from lading.scanning.limits import MAX_HEADERS, MAX_TEXT
from lading.scanning.packages import PYPI, Package

METADATA: Final = "METADATA"
PKG_INFO: Final = "PKG-INFO"
EGG_INFO: Final = "EGG-INFO"
LICENSE_CLASSIFIER: Final = "License :: "
MAX_LICENSE: Final = 100
"""Characters of the field License, which in old packages is the whole text."""


class PythonMetadata:
    """Reads *.dist-info/METADATA, *.egg-info, also as a folder with PKG-INFO, and *.egg, also as a zip archive.

    Wheels are not read: what is in one is not installed.
    """

    name = "metadata of a Python package"
    limit = MAX_TEXT

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is where installers write metadata."""
        if not path.endswith((METADATA, PKG_INFO, ".egg-info", ".egg")):
            return False
        folder, _, name = path.rpartition("/")
        if name == METADATA:
            return folder.endswith(".dist-info")
        if name == PKG_INFO:
            return folder.endswith((".egg-info", f"/{EGG_INFO}"))
        return name.endswith((".egg-info", ".egg"))

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the package, its name as written.

        Raises:
            ValueError: the name or version is not within the first 256 KiB.
            BadZipFile: an egg is damaged.
        """
        if not file.path.endswith(".egg") or not file.size:
            return _package(file.content, file.path)
        archive = ZipArchive(file.content, Budget())
        found = [each for each in archive.members if each.filename == f"{EGG_INFO}/{PKG_INFO}"]
        return _package(BytesIO(archive.read(found[0], MAX_TEXT)), file.path) if found else ()


def _package(content: BinaryIO, path: str) -> Iterator[Package]:
    """Yield the package that metadata describes; none if it has no fields."""
    head = content.read(MAX_HEADERS)
    licenses: list[str] = []
    fields = _fields(head, licenses)
    if fields.get("name"):
        if not fields.get("version") and len(head) == MAX_HEADERS:
            raise ValueError(f"there is no version within the first {MAX_HEADERS:,} bytes")
        yield Package(
            type=PYPI,
            name=fields["name"],
            version=fields.get("version", ""),
            path=path,
            licenses=_licenses(fields, licenses),
        )
    elif len(head) == MAX_HEADERS:
        raise ValueError(f"there is no name within the first {MAX_HEADERS:,} bytes")


def _fields(head: bytes, licenses: list[str]) -> dict[str, str]:
    """Return the first of each field up to the empty line, by its name in lower case; add the classified licenses."""
    fields: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").removeprefix("\ufeff").split("\n"):
        if not line.strip():
            break
        name, colon, value = line.partition(":")
        if colon and not name.startswith((" ", "\t")):
            fields.setdefault(name.lower(), value.strip())
            if name.lower() == "classifier" and value.strip().startswith(LICENSE_CLASSIFIER):
                licenses.append(value.rpartition("::")[2].strip())
    return fields


def _licenses(fields: Mapping[str, str], classified: list[str]) -> tuple[str, ...]:
    """Return what is declared: an SPDX expression, a short text, or classifiers, the most exact first."""
    if expression := fields.get("license-expression"):
        return (expression,)
    short = fields.get("license", "")
    if short and short != "UNKNOWN" and len(short) <= MAX_LICENSE:
        return (short,)
    return tuple(dict.fromkeys(classified))
