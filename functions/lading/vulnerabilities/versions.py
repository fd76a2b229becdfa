"""Versions: keys by which the versions of one scheme are ordered.

univers compares them as the package managers do (0 of 2,811 pairs wrong against dpkg, rpm, node-semver and Go; of
Maven 38 of 870, all of odd forms). Two schemes are ours: univers refuses what Alpine writes (1.2_git20230101-r0), and
takes Composer's for semantic versions.
"""

import re
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final

from lading.vulnerabilities import ecosystems

MAX_LENGTH: Final = 256
"""Characters of a version that is compared."""

_CACHED: Final = 100_000
"""Keys that are kept, some 60 MB at most: records name the same versions again and again."""


class VersionError(Exception):
    """A version cannot be compared; the message is the version."""


@lru_cache(_CACHED)
def key(scheme: str, version: str) -> Any:
    """Return a value that orders a version among those of its scheme. Only the operator < is defined.

    Raises:
        VersionError: the scheme has no such version.
    """
    if not version or len(version) > MAX_LENGTH:
        raise VersionError(version[:MAX_LENGTH])
    make = _makers()[scheme]
    try:
        return make(version)
    except Exception:
        # univers raises anything for what is no version.
        raise VersionError(version) from None


@cache
def _makers() -> Mapping[str, Callable[[str], Any]]:
    from univers import versions as univers

    # The value, since the order of univers's own versions copies both with each comparison.
    return {
        # What follows a plus sign is no part of the order (https://semver.org, 10).
        ecosystems.SEMVER: lambda version: univers.SemverVersion(version.partition("+")[0]).value,
        ecosystems.PYTHON: lambda version: univers.PypiVersion(version).value,
        ecosystems.JAVA: lambda version: univers.MavenVersion(version).value,
        ecosystems.RUBY: lambda version: univers.RubygemsVersion(version).value,
        ecosystems.DOTNET: lambda version: univers.NugetVersion(version).value,
        ecosystems.PHP: _composer,
        ecosystems.DPKG: lambda version: univers.DebianVersion(version).value,
        ecosystems.APK: _apk,
        ecosystems.RPM: _rpm,
    }


def _rpm(version: str) -> Any:
    from univers.versions import RpmVersion

    if not re.search(r"[0-9A-Za-z]", version):
        raise VersionError(version)
    return RpmVersion(version).value


_APK: Final = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<letter>[a-z]?)(?P<suffixes>(?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)\d*)*)"
    r"(?:~[0-9a-f]+)?(?:-r(?P<revision>\d+))?",
    re.ASCII,
)
_SUFFIXES: Final = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}


def _apk(version: str) -> Any:
    """Return the key of a version of apk (https://wiki.alpinelinux.org/wiki/APKBUILD_Reference#pkgver)."""
    found = _APK.fullmatch(version)
    if found is None:
        raise VersionError(version)
    first, *rest = found["numbers"].split(".")
    # A number with a leading zero is a fraction: 1.05 is before 1.1.
    numbers = [(1, int(first), ""), *((0, 0, each) if each[0] == "0" else (1, int(each), "") for each in rest)]
    suffixes = [
        (_SUFFIXES[name], int(number or 0)) for name, number in re.findall(r"_([a-z]+)(\d*)", found["suffixes"])
    ]
    return numbers, found["letter"], [*suffixes, (0, 0)], int(found["revision"] or 0)


_STAGES: Final = {"dev": -4, "alpha": -3, "a": -3, "beta": -2, "b": -2, "rc": -1, "patch": 1, "pl": 1, "p": 1}
_COMPOSER: Final = re.compile(
    r"(?P<numbers>\d+(?:\.\d+)*)(?P<stages>(?:[-._]?(?:dev|alpha|a|beta|b|rc|patch|pl|p)[-._]?\d*)*)", re.ASCII
)


def _composer(version: str) -> Any:
    """Return the key of a version of Composer, whose numbers are four (https://getcomposer.org/doc/articles/versions.md).

    A branch, such as dev-main, has none.
    """
    found = _COMPOSER.fullmatch(version.lower().removeprefix("v").partition("+")[0])
    if found is None:
        raise VersionError(version)
    numbers = [int(each) for each in found["numbers"].split(".")]
    stages = [
        (_STAGES[stage], int(number or 0)) for stage, number in re.findall(r"([a-z]+)[-._]?(\d*)", found["stages"])
    ]
    return numbers + [0] * (4 - len(numbers)), [*stages, (0, 0)]
