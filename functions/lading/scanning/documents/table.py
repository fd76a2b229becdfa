"""Scan document as rows of a table: one for each vulnerability of a package, however many files declare the package."""

from collections.abc import Sequence
from dataclasses import dataclass

from lading.scanning.documents.scan_document import ScanDocument, Vulnerability


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Vulnerability of a package in an image.

    Attributes:
        severity: of SEVERITIES.
        id: its CVE id, or the id of its OSV record.
        package: the name of the package.
        version: in the image, or "".
        fixed: the version that fixes it, or "".
        remarks: "known exploited", "suppressed: WHY", "uncertain: WHY" and "signed by WHOM", where they apply.
        paths: the files that declare the package.
        summary: of the vulnerability.
    """

    severity: str
    id: str
    package: str
    version: str
    fixed: str
    remarks: tuple[str, ...]
    paths: tuple[str, ...]
    summary: str


def table(document: ScanDocument) -> Sequence[Row]:
    """Return the rows of a document, the worst first and suppressed ones last."""
    groups = dict[tuple[str, ...], list[Vulnerability]]()
    for each in sorted(document.vulnerabilities, key=lambda each: bool(each.suppressed)):
        key = (each.severity, each.id, each.ecosystem, each.package, each.version, each.fixed, *_remarks(each))
        groups.setdefault(key, []).append(each)
    return [_row(group) for group in groups.values()]


def _row(group: Sequence[Vulnerability]) -> Row:
    first = group[0]
    return Row(
        severity=first.severity,
        id=first.cve,
        package=first.package,
        version=first.version,
        fixed=first.fixed,
        remarks=_remarks(first),
        paths=tuple(dict.fromkeys(each.path for each in group if each.path)),
        summary=first.summary,
    )


def _remarks(vulnerability: Vulnerability) -> tuple[str, ...]:
    remarks = {
        "known exploited": vulnerability.known_exploited,
        f"suppressed: {vulnerability.suppressed}": vulnerability.suppressed,
        f"uncertain: {vulnerability.uncertain}": vulnerability.uncertain,
        vulnerability.source: vulnerability.source,
    }
    return tuple(text for text, applies in remarks.items() if applies)
