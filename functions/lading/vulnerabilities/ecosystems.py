"""Ecosystem: where OSV's records name a package, such as "Debian:12" or "PyPI", and how its versions are compared.

    Package, Distribution ──ecosystem_of──▶ Ecosystem: data "Debian", release "12" ──Database──▶ records

https://ossf.github.io/osv-schema/#defined-ecosystems
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from lading.scanning import packages as types
from lading.scanning.packages import Distribution, Package

SEMVER: Final = "semver"
PYTHON: Final = "python"
JAVA: Final = "java"
RUBY: Final = "ruby"
DOTNET: Final = "dotnet"
PHP: Final = "php"
DPKG: Final = "dpkg"
APK: Final = "apk"
RPM: Final = "rpm"
"""Schemes of versions, see `versions.key`."""


def _never(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Ecosystem:
    """Ecosystem of a package.

    Attributes:
        data: the name of the data that has its records, such as "Debian"; also of OSV's dump.
        release: the release of the distribution, or "".
        preferred: the releases that records may name for it.
        others: further ones, for records that name none of `preferred`.
    """

    data: str
    release: str = ""
    preferred: Callable[[str], object] = "".__eq__
    others: Callable[[str], object] = _never

    @property
    def name(self) -> str:
        """Its name, such as "Debian:12" or "PyPI"."""
        return f"{self.data}:{self.release}" if self.release else self.data

    def covers(self, release: str) -> bool:
        """Return whether records of a release are about it."""
        return bool(self.preferred(release) or self.others(release))


@dataclass(frozen=True, slots=True)
class _System:
    """Distribution of Linux.

    Attributes:
        data: see Ecosystem.
        type: the type of its packages.
        release: makes the release of a Distribution; "" where records name none; None if it cannot be known.
        by_source: whether records name source packages, not those that are installed.
    """

    data: str
    type: str
    release: Callable[[Distribution], str | None]
    by_source: bool = True


LANGUAGES: Final[Mapping[str, str]] = {
    types.PYPI: "PyPI",
    types.NPM: "npm",
    types.GO: "Go",
    types.MAVEN: "Maven",
    types.CARGO: "crates.io",
    types.GEM: "RubyGems",
    types.NUGET: "NuGet",
    types.COMPOSER: "Packagist",
}
"""Ecosystems by the type of a package, whatever the distribution is."""

_CODENAMES: Final = {"bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14"}
"""Releases of Debian, of which those in preparation have no VERSION_ID (https://www.debian.org/releases/)."""


def _none(_: Distribution) -> str:
    return ""


def _exact(distribution: Distribution) -> str | None:
    return distribution.version or None


def _major(distribution: Distribution) -> str | None:
    return distribution.version.partition(".")[0] or None


def _debian(distribution: Distribution) -> str | None:
    return _major(distribution) or _CODENAMES.get(distribution.codename)


def _alpine(distribution: Distribution) -> str | None:
    """Return "v3.18" of "3.18.4", and of "3.18_alpha20230329", the edge before 3.18."""
    found = re.match(r"[0-9]+\.[0-9]+", distribution.version)
    return f"v{found[0]}" if found else None


def _minor(distribution: Distribution) -> str | None:
    """Return "3.0" of "3.0.20250102"."""
    return ".".join(distribution.version.split(".")[:2]) or None


def _suse(distribution: Distribution) -> str | None:
    """Return "15 SP5" of "15.5"."""
    major, _, minor = distribution.version.partition(".")
    return (f"{major} SP{minor}" if minor and minor != "0" else major) or None


def _leap(distribution: Distribution) -> str | None:
    return f"Leap {distribution.version}" if distribution.version else None


def _tumbleweed(_: Distribution) -> str:
    return "Tumbleweed"


_SUSE: Final = _System("SUSE", types.RPM, _suse)

_SYSTEMS: Final[Mapping[str, _System]] = {
    "debian": _System("Debian", types.DEB, _debian),
    "ubuntu": _System("Ubuntu", types.DEB, _exact),
    "alpine": _System("Alpine", types.APK, _alpine),
    "wolfi": _System("Wolfi", types.APK, _none),
    "chainguard": _System("Chainguard", types.APK, _none),
    "minimos": _System("MinimOS", types.APK, _none),
    "alpaquita": _System("Alpaquita", types.APK, _exact),
    "bellsoft-hardened-containers": _System("BellSoft Hardened Containers", types.APK, _exact),
    "rocky": _System("Rocky Linux", types.RPM, _major, by_source=False),
    "almalinux": _System("AlmaLinux", types.RPM, _major, by_source=False),
    "rhel": _System("Red Hat", types.RPM, _major, by_source=False),
    "sles": _SUSE,
    "sled": _SUSE,
    "sle_hpc": _SUSE,
    "opensuse-leap": _System("openSUSE", types.RPM, _leap),
    "opensuse-tumbleweed": _System("openSUSE", types.RPM, _tumbleweed),
    "openEuler": _System("openEuler", types.RPM, _exact),
    "mageia": _System("Mageia", types.RPM, _major),
    "azurelinux": _System("Azure Linux", types.RPM, _major),
    "mariner": _System("Azure Linux", types.RPM, _major),
    "photon": _System("Photon OS", types.RPM, _minor),
}
"""Distributions by the ID of os-release."""

_BY_SOURCE: Final = frozenset(system.data for system in _SYSTEMS.values() if system.by_source)

SCHEMES: Final[Mapping[str, str]] = {
    **{system.data: {types.DEB: DPKG, types.APK: APK, types.RPM: RPM}[system.type] for system in _SYSTEMS.values()},
    "PyPI": PYTHON,
    "npm": SEMVER,
    "Go": SEMVER,
    "Maven": JAVA,
    "crates.io": SEMVER,
    "RubyGems": RUBY,
    "NuGet": DOTNET,
    "Packagist": PHP,
}
"""Schemes of versions by the name of the data: all data that a package can need."""


def is_distribution(data: str) -> bool:
    """Return whether data is about the packages of a distribution."""
    return data not in LANGUAGES.values()


def ecosystem_of(package: Package, distribution: Distribution) -> Ecosystem | None:
    """Return the ecosystem of a package in an image of a distribution, or None if no data is about it."""
    if data := LANGUAGES.get(package.type):
        return Ecosystem(data)
    system = _SYSTEMS.get(distribution.id)
    if system is None or system.type != package.type or (release := system.release(distribution)) is None:
        return None
    return Ecosystem(system.data, release, *_releases(system.data, release))


def unknown_of(package: Package, distribution: Distribution) -> str:
    """Return the name by which to list packages whose ecosystem is not known as missing, such as "amzn:2023"."""
    if not distribution.id:
        return package.type
    return ":".join(filter(None, (distribution.id, distribution.version or distribution.codename)))


def _releases(data: str, release: str) -> tuple[Callable[[str], object], Callable[[str], object]]:
    """Return what tests whether a record is about a release, and a second such test, see Ecosystem."""
    match data:
        case "Ubuntu":
            # Those of Pro say when a subscription fixes it; of releases out of support there are only those.
            names, pro = {release, f"{release}:LTS"}, {f"Pro:{release}", f"Pro:{release}:LTS"}
            return names.__contains__, pro.__contains__
        case "Red Hat":
            # A part of a CPE, such as enterprise_linux:9::baseos; others are products that are sold apart.
            return re.compile(rf"enterprise_linux:{re.escape(release)}(:.*)?").fullmatch, _never
        case "SUSE":
            # A base image has packages of several modules: "Linux Enterprise Module for Basesystem 15 SP5".
            return re.compile(rf".* {re.escape(release)}(-LTSS|-ESPOS)?").fullmatch, _never
        case "openEuler":
            return {release, f"{release}-LTS"}.__contains__, _never
        case _:
            return release.__eq__, _never


def name_in(data: str, name: str) -> str:
    """Return the name under which a package is compared: where an ecosystem takes several for the same, one of them."""
    match data:
        case "PyPI":  # PEP 503
            return re.sub(r"[-_.]+", "-", name).lower()
        case "NuGet" | "Packagist":
            return name.lower()
        case _:
            return name


def name_of(data: str, package: Package) -> str:
    """Return the name by which records may name a package."""
    if is_distribution(data):
        return (package.source if data in _BY_SOURCE else "") or package.name
    separator = {types.NPM: "/", types.COMPOSER: "/", types.MAVEN: ":"}.get(package.type)
    name = f"{package.namespace}{separator}{package.name}" if separator and package.namespace else package.name
    return name_in(data, name)


def version_of(data: str, package: Package) -> str:
    """Return the version that records compare, or "" if it is unknown."""
    version = package.version
    match package.type:
        case types.DEB | types.APK | types.RPM if package.source and data in _BY_SOURCE:
            return package.source_version or version
        case types.GEM:  # 1.13.10-x86_64-linux has a platform; no version has a hyphen
            return version.partition("-")[0]
        case types.GO:
            return "" if version == "(devel)" else _go_version(package.name, version)
        case _:
            return version


def _go_version(name: str, version: str) -> str:
    """Return a version as records of Go write it: 1.21rc2 of the standard library is 1.21.0-rc.2."""
    version = version.removeprefix("v")
    if name not in ("stdlib", "toolchain"):
        return version
    return re.sub(r"^(\d+\.\d+)(rc|beta)(\d+)", r"\1.0-\2.\3", version.removeprefix("go"))
