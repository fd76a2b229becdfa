"""Packages of Node.js, as a package.json declares each (https://docs.npmjs.com/cli/configuring-npm/package-json).

Every package.json with a name and a version counts, wherever it is, as in syft: an application has one as well as what
npm, pnpm or Yarn installed for it. Lock files list what could be installed, not what is in the image, and are not read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.json_content import loads, mapping, sequence, text
from lading.scanning.limits import MAX_TEXT
from lading.scanning.packages import NPM, Package

FILE: Final = "package.json"
INSTALLED: Final = re.compile(r"(?:^|/)node_modules/(?:@[^/]+/)?[^/]+/package\.json")
"""Where package managers install a package."""


class NpmPackage:
    """Reads the name and version of a package.json."""

    name = "package.json"
    limit = MAX_TEXT

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is a package.json."""
        return path.endswith(FILE) and path.rpartition("/")[2] == FILE

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the package, if it has a name and a version.

        Packages contain broken files of this name to test with, and Node.js reads none of them: a damaged one is an
        error only where a package is installed.
        """
        try:
            fields = mapping(loads(file.content.read()))
        except ValueError:
            if INSTALLED.search(file.path):
                raise
            return
        name, version = text(fields.get("name")).strip(), text(fields.get("version")).strip()
        if name and version and not _is_of_another_system(fields):
            scope, slash, rest = name.partition("/")
            yield Package(
                type=NPM,
                namespace=scope if slash else "",
                name=rest if slash else name,
                version=version,
                path=file.path,
                licenses=tuple(_licenses(fields)),
            )


def _is_of_another_system(fields: Mapping[str, Any]) -> bool:
    """Return whether it describes an extension of Visual Studio Code, or a package of Unity, whose names are others."""
    return "vscode" in mapping(fields.get("engines")) or "contributes" in fields or bool(fields.get("unity"))


def _licenses(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the licenses: a string, or objects as before npm 2."""
    for each in (fields.get("license"), *sequence(fields.get("licenses"))):
        if found := text(each) or text(mapping(each).get("type")):
            yield found
