"""Packages of a .NET application, as its deps.json lists them.

The format: https://github.com/dotnet/sdk/blob/main/documentation/specs/runtime-configuration-file.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from posixpath import basename
from typing import Any, Final

from lading.scanning.extractors.extractor import File
from lading.scanning.extractors.json_content import loads, mapping
from lading.scanning.limits import MAX_TEXT
from lading.scanning.packages import NUGET, Package

SUFFIX: Final = ".deps.json"
RUNTIME_PACK: Final = "runtimepack."
"""Before the name of the package of the runtime, in an application that contains its own."""
PROJECT: Final = "project"
TYPES: Final = ("package", PROJECT, "runtimepack")
"""Not "reference": an assembly that is in no package."""
ASSETS: Final = ("runtime", "resources", "native", "compile", "runtimeTargets")
"""Lists of the files of a library, in a target."""
BUNDLERS: Final = ("ilrepack", "ilmerge", "costura.", "fody")
"""Beginnings of the names of tools that put libraries into the application, which then have no files of their own."""


class DotnetDeps:
    """Reads the libraries of a deps.json, the application itself among them.

    Other projects are parts of the application, and in no registry. A package without files, of which none that it
    depends on has any, was there when the application was built, and is not in the image: half of those that .NET's
    own runtime lists.
    """

    name = "deps.json"
    limit = MAX_TEXT

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether the file is a deps.json."""
        return path.endswith(SUFFIX)

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the libraries; none of a file of another system, which has no libraries."""
        document = mapping(loads(file.content.read()))
        application = basename(file.path).removesuffix(SUFFIX)
        libraries = mapping(document.get("libraries"))
        absent = set() if any(map(_is_bundler, libraries)) else _without_files(mapping(document.get("targets")))
        for key, library in libraries.items():
            name, _, version = key.partition("/")
            type = mapping(library).get("type")
            is_there = name == application if type == PROJECT else key not in absent
            if name and version and type in TYPES and is_there:
                yield Package(type=NUGET, name=name.removeprefix(RUNTIME_PACK), version=version, path=file.path)


def _is_bundler(key: str) -> bool:
    return key.lower().startswith(BUNDLERS)


def _without_files(targets: Mapping[str, Any]) -> set[str]:
    """Return the libraries of targets that have no files, and depend on none that has, by "NAME/VERSION"."""
    absent = set[str]()
    dependents = defaultdict[str, list[str]](list)
    present = list[str]()
    for libraries in map(mapping, targets.values()):
        for key, library in ((key, mapping(each)) for key, each in libraries.items()):
            absent.add(key)
            if any(library.get(each) for each in ASSETS):
                present.append(key)
            for name, version in mapping(library.get("dependencies")).items():
                dependents[f"{name}/{version}"].append(key)
    while present:
        key = present.pop()
        if key in absent:
            absent.remove(key)
            present += dependents[key]
    return absent
