"""Packages of package URLs: what an SBOM or a report of another scanner names (the reverse of package_url).

https://github.com/package-url/purl-spec
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from lading.scanning import packages as types
from lading.scanning.packages import Distribution, Package
from lading.vulnerabilities import ecosystems

OF_DISTRIBUTIONS: Final = (types.APK, types.DEB, types.RPM)
TYPES: Final = (*OF_DISTRIBUTIONS, *ecosystems.LANGUAGES)
"""Types of packages that can be compared."""

MAX_LENGTH: Final = 2_000
"""Characters of a package URL that is read."""

IDS: Final = {"redhat": "rhel"}
"""Names of distributions that are not the ids of their os-release files: the former of Trivy and syft."""


@dataclass(frozen=True, slots=True)
class NamedPackage:
    """Package that a document names.

    Attributes:
        package: the package, without a path.
        distribution: the one that its qualifiers name.
    """

    package: Package
    distribution: Distribution


def read(purl: str, origin: str = "") -> NamedPackage | None:
    """Return the package of a package URL; None if it is none, or of a type that no data is about.

    Args:
        purl: the package URL.
        origin: becomes the package's.
    """
    from packageurl import PackageURL

    try:
        found = PackageURL.from_string(purl[:MAX_LENGTH])
    except ValueError:
        return None
    if found.type not in TYPES:
        return None
    namespace, name, version = found.namespace or "", found.name, found.version or ""
    if found.type == types.GO:
        namespace, name = "", f"{namespace}/{name}" if namespace else name
    package = Package(type=found.type, namespace=namespace, name=name, version=version, origin=origin)
    if found.type not in OF_DISTRIBUTIONS:
        return NamedPackage(package, Distribution())
    return _of_distribution(package, found.qualifiers if isinstance(found.qualifiers, dict) else {})


def _of_distribution(package: Package, qualifiers: Mapping[str, str]) -> NamedPackage:
    """Return a package of a distribution, with what the qualifiers of its package URL say."""
    namespace = IDS.get(package.namespace, package.namespace)
    epoch, version = qualifiers.get("epoch", ""), package.version
    source, source_version = _upstream(package.type, qualifiers.get("upstream", ""), epoch)
    complete = replace(
        package,
        namespace=namespace,
        version=f"{epoch}:{version}" if epoch and ":" not in version else version,
        arch=qualifiers.get("arch", ""),
        source=source,
        source_version=source_version,
    )
    return NamedPackage(complete, _distribution(qualifiers.get("distro", ""), namespace))


def identity(package: Package) -> tuple[str, str, str]:
    """Return what two packages have in common if they are the same: type, name and version."""
    data = ecosystems.LANGUAGES.get(package.type)
    if data is None:  # the vendor of a distribution is spelled in several ways
        return package.type, package.name, package.version
    return package.type, ecosystems.name_of(data, package), ecosystems.version_of(data, package)


def _upstream(type: str, upstream: str, epoch: str) -> tuple[str, str]:
    """Return the name and the version of a source package: of NAME, of NAME@VERSION, or of RPM its file."""
    if type != types.RPM:
        name, _, version = upstream.partition("@")
        return name, version
    parts = upstream.removesuffix(".src.rpm").rsplit("-", 2)
    if len(parts) != 3:
        return "", ""
    name, version, release = parts
    return name, f"{epoch}:{version}-{release}" if epoch else f"{version}-{release}"


def _distribution(distro: str, namespace: str) -> Distribution:
    """Return a distribution: of "debian-12.5", or of "3.18.4" with the id as the namespace."""
    id, hyphen, version = distro.rpartition("-")
    if not hyphen:
        id, version = namespace, distro
    known = version[:1].isdigit()
    id = IDS.get(id, id)
    return Distribution(id=id, version=version if known else "", codename="" if known else version)
