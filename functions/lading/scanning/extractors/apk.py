"""Packages of Alpine and its derivatives, as apk's database lists them (https://wiki.alpinelinux.org/wiki/Apk_spec)."""

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.lines import lines
from lading.scanning.limits import MAX_DATABASE
from lading.scanning.packages import APK, Package

PATHS: Final = ("lib/apk/db/installed", "usr/lib/apk/db/installed")
FIELDS: Final = {f"{each}:".encode(): each for each in "PVAoL"}


class Apk:
    """Reads the installed database of apk."""

    name = "database of apk"
    limit = MAX_DATABASE

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the path is one of apk's."""
        return path in PATHS

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the installed packages."""
        for fields in _paragraphs(file.content):
            name = fields.get("P", "")
            if name:
                yield Package(
                    type=APK,
                    name=name,
                    version=fields.get("V", ""),
                    arch=fields.get("A", ""),
                    source=origin if (origin := fields.get("o", "")) != name else "",
                    path=file.path,
                    licenses=(fields["L"],) if fields.get("L") else (),
                )


def _paragraphs(content: BinaryIO) -> Iterator[dict[str, str]]:
    """Yield the fields of each package: a letter, a colon and a value."""
    fields: dict[str, str] = {}
    for line in lines(content):
        if line[:2] in FIELDS:
            fields[FIELDS[line[:2]]] = line[2:].decode("utf-8", "replace").strip()
        elif line.isspace():
            yield fields
            fields = {}
    yield fields
