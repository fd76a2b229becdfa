"""Finding: a vulnerability of a package in an image; and Report: all of them, with what they are based on."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from lading.scanning.packages import ImagePackages, Package

CRITICAL: Final = "critical"
HIGH: Final = "high"
MEDIUM: Final = "medium"
LOW: Final = "low"
NEGLIGIBLE: Final = "negligible"
UNKNOWN: Final = "unknown"
SEVERITIES: Final = (CRITICAL, HIGH, MEDIUM, UNKNOWN, LOW, NEGLIGIBLE)
"""Severities, the worst first. A vulnerability without one is never listed below what may be harmless."""

DONE: Final = "done"
PARTIAL: Final = "partial"
UNSUPPORTED: Final = "unsupported"
FAILED: Final = "failed"
WAITING: Final = "waiting"
"""States of a scan. Only `done` says that what was not found is not there, as far as the data goes."""

EXPLOITS: Final = "exploits"
SIGNED: Final = "signed"
"""Names of data beside that of ecosystems: on exploits, and the signed documents about an image (records.scans)."""


def is_compared(data: Iterable[str]) -> bool:
    """Return whether packages were compared with data of these names: without any, no count of findings is known."""
    return any(name not in (EXPLOITS, SIGNED) for name in data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Vulnerability of a package.

    Attributes:
        id: of the OSV record, such as "DEBIAN-CVE-2023-1234" or "GHSA-jfh8-c2jp-5v3q".
        aliases: other ids of the same vulnerability, such as "CVE-2021-44228".
        covers: ids of the vulnerabilities that an advisory such as "RLSA-2023:1" is about, if these are several.
        package: the package in the image.
        ecosystem: of the record, such as "Debian:12" or "PyPI".
        severity: one of SEVERITIES.
        score: the base score of its CVSS vector, 0 to 10, or None.
        fixed: the lowest version that fixes it and is not older than the installed one, or "".
        summary: at most 200 characters.
        published: when the record was published, or None.
        epss: the probability that it is exploited within 30 days, 0 to 1, or None (https://www.first.org/epss).
        known_exploited: whether it is in the catalog of known exploited vulnerabilities (https://www.cisa.gov/kev).
        uncertain: why it may be false, such as "the group of the jar is a guess", or "".
        suppressed: why it does not count, as a signed OpenVEX document says, or "".
        source: which report of another scanner names it, such as "signed by release"; "" if the data does.
    """

    id: str
    aliases: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    package: Package
    ecosystem: str
    severity: str = UNKNOWN
    score: float | None = None
    fixed: str = ""
    summary: str = ""
    published: datetime | None = None
    epss: float | None = None
    known_exploited: bool = False
    uncertain: str = ""
    suppressed: str = ""
    source: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What is equal for those of one package that several files of an image declare."""
        package = self.package
        place = package.type, package.namespace, package.name, package.version
        return (
            self.id,
            self.ecosystem,
            *place,
            self.severity,
            self.fixed,
            self.uncertain,
            self.source or package.origin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Result of a scan of one image.

    Attributes:
        digest: the digest of the image.
        state: DONE, PARTIAL, UNSUPPORTED or FAILED.
        image: its packages.
        findings: the worst first, then by id, package and path.
        data: the version of the vulnerability data by ecosystem, as used; the ETag, or the time of an import.
        missing: ecosystems of which there is no data, so that their packages were not compared.
        notes: what else makes the result partial.
        remarks: what does not, such as VEX documents that do not count.
        at: when the packages were compared with the data.
        scanner: the version of Lading that extracted and compared.
        updated: when the oldest of the data was last updated, or None if that is not known.
    """

    digest: str
    state: str
    image: ImagePackages
    findings: Sequence[Finding] = ()
    data: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()
    notes: Sequence[str] = ()
    remarks: Sequence[str] = ()
    at: datetime
    scanner: str
    updated: datetime | None = None

    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        """How many vulnerabilities that are not suppressed each severity has: those with a fix, and those without.

        One of a package that several files declare counts once, as tables list it.
        """
        counted = {each.identity: each for each in self.findings if not each.suppressed}.values()
        found = Counter((each.severity, bool(each.fixed)) for each in counted)
        return {
            each: (found[each, True], found[each, False])
            for each in SEVERITIES
            if found[each, True] + found[each, False]
        }
