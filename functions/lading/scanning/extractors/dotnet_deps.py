"""Packages of a .NET application, as its deps.json lists them.

The format: https://github.com/dotnet/sdk/blob/main/documentation/specs/runtime-configuration-file.md.
"""

from collections.abc import Iterable
from typing import Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.json_content import loads, mapping
from lading.scanning.limits import MAX_TEXT
from lading.scanning.packages import NUGET, Package

SUFFIX: Final = ".deps.json"
RUNTIME_PACK: Final = "runtimepack."
"""Before the name of the package of the runtime, in an application that contains its own."""
TYPES: Final = ("package", "project", "runtimepack")
"""Not "reference": an assembly that is in no package."""


class DotnetDeps:
    """Reads the libraries of a deps.json, the application itself among them."""

    name = "deps.json"
    limit = MAX_TEXT

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is a deps.json."""
        return path.endswith(SUFFIX)

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the libraries; none of a file of another system, which has no libraries."""
        for key, library in mapping(mapping(loads(file.content.read())).get("libraries")).items():
            name, _, version = key.partition("/")
            if name and version and mapping(library).get("type") in TYPES:
                yield Package(type=NUGET, name=name.removeprefix(RUNTIME_PACK), version=version, path=file.path)
