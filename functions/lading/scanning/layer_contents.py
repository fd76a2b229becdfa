"""What has been read of a layer so far, within the limits of what is kept."""

import re
from collections.abc import Sequence
from dataclasses import replace
from posixpath import dirname, join, normpath
from typing import Final

from lading.scanning.distribution import PATHS
from lading.scanning.extractors.extractor import Extractor
from lading.scanning.extractors.table import LOCATIONS
from lading.scanning.limits import (
    MAX_LICENSES,
    MAX_NAME,
    MAX_NOTE,
    MAX_NOTES,
    MAX_PACKAGES,
    MAX_PACKAGES_TEXT,
    MAX_PATH,
    MAX_PATHS_TEXT,
    MAX_PRESENT,
    MAX_REMOVED,
)
from lading.scanning.packages import Distribution, LayerPackages, Package
from lading.scanning.tar_members import Member

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""Characters that no name contains and that terminals or encoders act upon."""


class LayerContents:
    """Collects what a layer declares. Where a path occurs twice, its last member counts."""

    def __init__(self) -> None:
        """Begin with an empty layer."""
        self._packages: dict[str, list[Package]] = {}
        self._present: dict[str, None] = {}
        self._read: set[str] = set()
        self._removed: dict[str, None] = {}
        self._opaque: dict[str, None] = {}
        self._distributions: dict[str, Distribution] = {}
        self._notes: dict[str, None] = {}
        self._count = 0
        self._text = 0
        self._paths_text = 0

    def replace(self, member: Member, *, is_wanted: bool) -> None:
        """Record a regular file. What an earlier member of this path declared no longer counts.

        Of files that declare nothing, only those are kept that may hide a file below that does: executables, and files
        of a known name. A layer may have 300,000 others.
        """
        self._packages.pop(member.path, None)
        if is_wanted:
            self._read.add(member.path)
        if is_wanted or member.is_executable:
            self._hide(member.path)

    def add(self, path: str, package: Package) -> None:
        """Record a package that the file at `path` declares."""
        package = _clean(package)
        text = len(package.name) + len(package.version) + len(package.path) + sum(map(len, package.licenses))
        if not package.name:
            self.note(f"{path}: a package without a name was left out")
        elif self._count >= MAX_PACKAGES or self._text + text > MAX_PACKAGES_TEXT:
            self.note(f"the layer declares more than {MAX_PACKAGES:,} packages; the others were left out")
        else:
            self._count += 1
            self._text += text
            self._packages.setdefault(path, []).append(package)

    def distribution(self, path: str, found: Distribution | None) -> None:
        """Record what an os-release file names."""
        if found:
            clean = [_clean_text(each, MAX_NAME) for each in (found.id, found.version, found.codename)]
            self._distributions[path] = Distribution(id=clean[0], version=clean[1], codename=clean[2])

    def remove(self, path: str) -> None:
        """Record a whiteout."""
        self._add_whiteout(self._removed, path)

    def opaque(self, folder: str) -> None:
        """Record an opaque whiteout: nothing in the folder is from a layer below."""
        self._add_whiteout(self._opaque, folder)

    def link(self, member: Member, extractors: Sequence[Extractor]) -> None:
        """Record a link, or a device. A link to a file that declares packages and is not read where it is is noted."""
        self._packages.pop(member.path, None)
        self._hide(member.path)
        target = member.link or normpath(join("/", dirname(member.path), member.target)).lstrip("/")
        if not (member.link or member.target):
            return

        def is_wanted(path: str) -> bool:
            return any(each.wants(path, 0, b"") for each in extractors)

        if is_wanted(member.path) and not (target in self._read or (member.target and is_wanted(target))):
            self.note(f"{member.path}: a link to {target}, which was not read")
        for database in LOCATIONS:
            if database.startswith(f"{member.path}/") and not is_wanted(target + database[len(member.path) :]):
                self.note(f"{member.path}: a link to {target}, where the {database} was not looked for")

    def note(self, text: str) -> None:
        """Record what could not be read."""
        if len(self._notes) < MAX_NOTES:
            self._notes[_clean_text(text, MAX_NOTE)] = None

    def result(self) -> LayerPackages:
        """Return what was recorded."""
        return LayerPackages(
            packages={path: tuple(found) for path, found in self._packages.items()},
            removed=tuple(self._removed),
            opaque=tuple(self._opaque),
            distribution=next((self._distributions[path] for path in PATHS if path in self._distributions), None),
            present=tuple(path for path in self._present if path not in self._packages),
            notes=tuple(self._notes),
        )

    def _add_whiteout(self, paths: dict[str, None], path: str) -> None:
        if not self._has_room(path, len(self._removed) + len(self._opaque) < MAX_REMOVED):
            self.note(f"the layer removes more than {MAX_REMOVED:,} files; those after them may be listed nevertheless")
        else:
            paths[path] = None

    def _hide(self, path: str) -> None:
        if self._has_room(path, len(self._present) < MAX_PRESENT):
            self._present[path] = None

    def _has_room(self, path: str, is_below_limit: bool) -> bool:
        """Return whether a path may be kept; a path of more than MAX_PATH cannot exist."""
        if not is_below_limit or len(path) > MAX_PATH or self._paths_text + len(path) > MAX_PATHS_TEXT:
            return False
        self._paths_text += len(path)
        return True


def _clean_text(text: str, limit: int) -> str:
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text[:limit])


def _clean(package: Package) -> Package:
    """Return a package whose fields can be stored and printed, whatever its file contains."""
    return replace(
        package,
        name=_clean_text(package.name, MAX_NAME),
        namespace=_clean_text(package.namespace, MAX_NAME),
        version=_clean_text(package.version, MAX_NAME),
        arch=_clean_text(package.arch, MAX_NAME),
        source=_clean_text(package.source, MAX_NAME),
        source_version=_clean_text(package.source_version, MAX_NAME),
        path=_clean_text(package.path, MAX_PATH),
        licenses=tuple(_clean_text(each, MAX_NAME) for each in package.licenses[:MAX_LICENSES]),
    )
