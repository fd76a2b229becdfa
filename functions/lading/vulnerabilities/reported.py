"""Merging of what signed reports of other scanners name with what the data says: each vulnerability counts once.

A report only adds: what the data says of a package stays as it is. Of a vulnerability without a package, it is enough
that one package is known to have it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from lading.scanning.findings import Finding
from lading.scanning.packages import ImagePackages, Package
from lading.vulnerabilities import ecosystems
from lading.vulnerabilities.exploits import Exploits
from lading.vulnerabilities.matcher import MAX_FINDINGS, TOO_MANY, order
from lading.vulnerabilities.purl_packages import identity, read
from lading.vulnerabilities.vulnerability_reports import Reported

NO_PACKAGE: Final = Package(type="", name="")
"""Stands for the image, where a report names no package."""


@dataclass(frozen=True, slots=True)
class SignedReport:
    """What one report names, and its origin, such as "signed by release"."""

    origin: str
    reported: Sequence[Reported]


def merge(
    findings: Sequence[Finding], image: ImagePackages, reports: Iterable[SignedReport], exploits: Exploits | None = None
) -> tuple[Sequence[Finding], Sequence[str]]:
    """Return the findings with those that only reports name, in the order of findings; and notes.

    Args:
        findings: of the image.
        image: its packages.
        reports: of other scanners.
        exploits: what is known of the exploitation of vulnerabilities.
    """
    merging = _Merging(findings, image)
    for report in reports:
        for each in report.reported:
            if len(merging.findings) >= MAX_FINDINGS:
                return sorted(merging.findings, key=order), (TOO_MANY,)
            merging.add(each, report.origin, exploits)
    return sorted(merging.findings, key=order), ()


class _Merging:
    """Findings, and which ids of vulnerabilities each package has."""

    def __init__(self, findings: Iterable[Finding], image: ImagePackages) -> None:
        self.findings: list[Finding] = []
        self._distribution = image.distribution
        self._packages: dict[tuple[str, ...], Package] = {}
        self._known: dict[tuple[str, ...], set[str]] = {}
        for package in reversed(image.packages):
            self._packages.update(dict.fromkeys(_names(package), package))
        for finding in findings:
            self._add(finding)

    def add(self, reported: Reported, origin: str, exploits: Exploits | None) -> None:
        """Add a vulnerability, unless the package is known to have it."""
        package = self._package(reported, origin)
        ids = {reported.id, *reported.aliases}
        place = identity(package) if package is not NO_PACKAGE else ()
        if not ids.isdisjoint(self._known.get(place, ())):
            return
        epss, known = exploits.find(sorted(ids)) if exploits else (None, False)
        ecosystem = ecosystems.ecosystem_of(package, self._distribution)
        self._add(
            Finding(
                id=reported.id,
                aliases=reported.aliases,
                package=package,
                ecosystem=ecosystem.name if ecosystem else "",
                severity=reported.severity,
                score=reported.score,
                fixed=reported.fixed,
                summary=reported.summary,
                epss=epss,
                known_exploited=known,
                source=origin,
            )
        )

    def _package(self, reported: Reported, origin: str) -> Package:
        """Return the package of the image, or else one that is made of what the report says."""
        named = read(reported.purl, origin) if reported.purl else None
        if named is not None:
            return self._packages.get(identity(named.package), named.package)
        if not reported.package:
            return NO_PACKAGE
        made = Package(type="", name=reported.package, version=reported.version, origin=origin)
        return self._packages.get((reported.package, reported.version), made)

    def _add(self, finding: Finding) -> None:
        self.findings.append(finding)
        ids = {finding.id, *finding.aliases, *finding.covers}
        for place in ((), identity(finding.package)):
            self._known.setdefault(place, set()).update(ids)


def _names(package: Package) -> Iterable[tuple[str, ...]]:
    """Yield how a report may name a package: as its package URL does, or by its name and version."""
    yield identity(package)
    yield package.name, package.version
