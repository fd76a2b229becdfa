"""Scan document: the result of a scan of an image as JSON, from which all formats but the SBOMs are made.

Its fields, in docs/scan-formats.md, stay the same in later releases. It is read from the statement that the scanner
made, or made without one for an image of which there is none.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from lading.json_values import parse
from lading.scanning.findings import DONE, FAILED, PARTIAL, UNKNOWN, UNSUPPORTED, WAITING
from lading.scanning.packages import Distribution

STATEMENT: Final = "https://in-toto.io/Statement/v1"
VULNERABILITIES: Final = "https://in-toto.io/attestation/vulns/v0.1"
"""Types of the statement and of its predicate."""
EXTENSION: Final = "lading"
"""The field of the predicate that holds the document without its vulnerabilities."""
INCOMPLETE: Final = "incomplete"
"""The annotation of an entry that is no vulnerability, but says that the result is not complete."""

NO_DISTRIBUTION: Final = Distribution()

KNOWN_STATES: Final = (DONE, PARTIAL)
"""States in which vulnerabilities can be counted."""

REASONS: Final = {
    WAITING: "the image was not scanned yet",
    UNSUPPORTED: "the packages of the image cannot be read",
    FAILED: "the image could not be scanned",
    PARTIAL: "the image was compared in part",
    "not scanned": "the image was not scanned",
}
"""Why an image is not called clean, by state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Number of vulnerabilities of one severity that are not suppressed.

    Attributes:
        fixable: of those that an update fixes.
        unfixable: of the others.
    """

    fixable: int
    unfixable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vulnerability:
    """Vulnerability of one package in the image.

    Attributes:
        id: of its OSV record (https://osv.dev/vulnerability/ID).
        aliases: other ids of the same vulnerability.
        covers: ids of the vulnerabilities that an advisory such as "RLSA-2023:1" is about, if these are several.
        severity: critical, high, medium, unknown, low or negligible.
        score: the base score of its CVSS vector, 0 to 10, or None.
        package: the name of the package as its ecosystem writes it: "org.slf4j:slf4j-api", "@types/node".
        version: the version in the image, or "".
        path: the file that declares the package.
        purl: its package URL, or "".
        ecosystem: of the record, such as "Debian:12" or "PyPI".
        fixed: the lowest version that fixes it, or "".
        summary: at most 200 characters.
        published: when the record was published, or None.
        epss: the probability that it is exploited within 30 days, 0 to 1, or None.
        known_exploited: whether it is in the catalog of known exploited vulnerabilities.
        uncertain: why it may be false, or "".
        suppressed: why it does not count, or "".
        source: whose signed SBOM or report names the package or the vulnerability, or "" if the image and the data do.
    """

    id: str
    aliases: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    severity: str = UNKNOWN
    score: float | None = None
    package: str
    version: str = ""
    path: str = ""
    purl: str = ""
    ecosystem: str = ""
    fixed: str = ""
    summary: str = ""
    published: datetime | None = None
    epss: float | None = None
    known_exploited: bool = False
    uncertain: str = ""
    suppressed: str = ""
    source: str = ""

    @property
    def cve(self) -> str:
        """Its CVE id, by which other tools know it, or `id` if it has none or several."""
        found = [each for each in (self.id, *self.aliases) if each.startswith("CVE-")]
        return found[0] if len(found) == 1 or self.id in found else self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanDocument:
    """Result of a scan of one image.

    Attributes:
        schema: the version of these fields.
        digest: the digest of the image.
        state: waiting, done, partial, unsupported or failed.
        reason: why it is waiting, unsupported or failed, or "".
        at: when its packages were compared with the data, or None.
        pending: whether a scan is due or under way; the other fields are of the last one that was finished.
        scanner: the version of Lading that extracted and compared, or "".
        distribution: the distribution that its os-release file names.
        packages: the number of its packages, or None if it is not known.
        counts: by severity, without those that have none; None unless the state is done or partial, and
            packages were compared with data of some ecosystem.
        data: the versions of the data that was used, by ecosystem.
        missing: the ecosystems of which there is no data, so that their packages were not compared.
        notes: what else makes the result partial.
        remarks: what does not, such as VEX documents that do not count.
        vulnerabilities: the worst first.
    """

    schema: int = 1
    digest: str
    state: str
    reason: str = ""
    at: datetime | None = None
    pending: bool = False
    scanner: str = ""
    distribution: Distribution = NO_DISTRIBUTION
    packages: int | None = None
    counts: Mapping[str, Count] | None = None
    data: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    vulnerabilities: tuple[Vulnerability, ...] = ()

    @property
    def gaps(self) -> tuple[str, ...]:
        """What is not known, a clause each; none only if the state is done."""
        gaps = (*self.notes, *(f"there is no vulnerability data of {each}" for each in self.missing))
        if self.state == DONE:
            return gaps
        reason = f": {self.reason}" if self.reason else ""
        return (f"{REASONS.get(self.state, self.state)}{reason}", *gaps)


def read(statement: bytes) -> ScanDocument:
    """Return the document of a statement by lading.scanning.documents.statement.

    Raises:
        ValueError: the statement was not made by it.
    """
    try:
        predicate = json.loads(statement)["predicate"]
        entries = [_entry(each) for each in predicate["scanner"]["result"]]
        fields = {**predicate[EXTENSION], "vulnerabilities": [each for each in entries if INCOMPLETE not in each]}
    except (LookupError, TypeError) as error:
        raise ValueError(f"the report is no statement by Lading ({error!r})") from error
    return parse(ScanDocument, fields)


def _entry(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of one result, which its annotation holds."""
    return {"id": result["id"], **result["annotations"][0]}
