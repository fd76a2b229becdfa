"""Package URLs of the packages of an image (https://github.com/package-url/purl-spec).

The qualifiers `distro` and `upstream` are written as syft writes them, since that is how grype and osv-scanner find the
vulnerabilities of distributions in an SBOM.
"""

from functools import lru_cache
from typing import Final

from packageurl import PackageURL

from lading.scanning.packages import APK, DEB, GO, RPM, Distribution, Package

MAX_KEPT: Final = 5_000
"""Package URLs that are kept: an image needs each for its SBOM and its findings, and others have the same base."""

VENDORS: Final = {"opensuse-leap": "opensuse", "opensuse-tumbleweed": "opensuse", "rhel": "redhat"}
"""Namespaces that differ from the ids of their distributions."""


@lru_cache(MAX_KEPT)
def package_url(package: Package, distribution: Distribution) -> str:
    """Return the package URL of a package, or "" if it has no name that a package URL can have."""
    namespace, name, version = package.namespace, package.name, package.version
    qualifiers = dict[str, str]()
    if package.type in (APK, DEB, RPM):
        namespace = VENDORS.get(namespace, namespace)
        qualifiers = {"arch": package.arch, "distro": _distro(distribution), "upstream": _upstream(package)}
        if package.type == RPM:
            qualifiers["epoch"], version = split_epoch(version)
    elif package.type == GO:
        namespace, _, name = name.rpartition("/")
    qualifiers = {key: _text(value) for key, value in qualifiers.items()}
    try:
        return str(PackageURL(package.type, _text(namespace), _text(name), _text(version), qualifiers))
    except (TypeError, ValueError):  # the former for a name of white space
        return ""


def split_epoch(version: str) -> tuple[str, str]:
    """Return the epoch of a version of RPM, or "", and the rest."""
    epoch, colon, rest = version.partition(":")
    return (epoch, rest) if colon else ("", version)


def _text(text: str) -> str:
    """Return a text that can be percent-encoded."""
    return text.encode("utf-8", "replace").decode()


def _distro(distribution: Distribution) -> str:
    return "-".join(filter(None, (distribution.id, distribution.version or distribution.codename)))


def _upstream(package: Package) -> str:
    """Return the source package where it differs: NAME, NAME@VERSION, or of RPM its file."""
    if not (package.source or package.source_version):
        return ""
    name, version = package.source or package.name, package.source_version
    if package.type == RPM:
        return f"{name}-{split_epoch(version or package.version)[1]}.src.rpm"
    return f"{name}@{version}" if version else name
