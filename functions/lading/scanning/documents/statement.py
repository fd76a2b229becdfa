"""Report as an in-toto statement (https://github.com/in-toto/attestation/blob/main/spec/predicates/vuln.md).

A consumer may ignore extension fields, and that must not turn its refusal into consent (in-toto attestation, parsing
rules). So a result that is not complete has an entry that says so among the vulnerabilities, of unknown severity: the
specification reads an empty list as "no vulnerabilities". Each entry has its other fields in one annotation.
"""

from datetime import UTC, datetime
from typing import Any, Final

from lading.json_values import rfc3339
from lading.scanning.documents.encoding import encode, set_fields
from lading.scanning.documents.package_url import package_url
from lading.scanning.documents.scan_document import (
    EXTENSION,
    INCOMPLETE,
    KNOWN_STATES,
    STATEMENT,
    VULNERABILITIES,
    Count,
    ScanDocument,
    Vulnerability,
)
from lading.scanning.findings import DONE, UNKNOWN, Finding, Report, is_compared
from lading.scanning.packages import COMPOSER, MAVEN, NPM, Package

SCANNER: Final = "pkg:pypi/lading-registry"
DATA: Final = "https://osv.dev"
NEVER: Final = datetime.fromtimestamp(0, UTC)
"""When data was updated of which it is not known: a consumer that asks for fresh data refuses it."""

SEPARATORS: Final = {COMPOSER: "/", MAVEN: ":", NPM: "/"}
"""Between namespace and name, in ecosystems whose names have both."""


def statement(report: Report) -> bytes:
    """Return a report as a statement about its image."""
    algorithm, _, value = report.digest.partition(":")
    return encode(
        {
            "_type": STATEMENT,
            "subject": [{"name": report.digest, "digest": {algorithm: value}}],
            "predicateType": VULNERABILITIES,
            "predicate": _predicate(report, document_of(report)),
        }
    )


def document_of(report: Report) -> ScanDocument:
    """Return a report as a scan document."""
    return ScanDocument(
        digest=report.digest,
        state=report.state,
        at=report.at,
        scanner=report.scanner,
        distribution=report.image.distribution,
        packages=len(report.image.packages) if report.image.is_supported else None,
        counts={name: Count(fixable=count[0], unfixable=count[1]) for name, count in report.counts.items()}
        if report.state in KNOWN_STATES and (is_compared(report.data) or report.counts)
        else None,
        data=dict(sorted(report.data.items())),
        missing=tuple(sorted(report.missing)),
        notes=tuple(dict.fromkeys((*report.image.notes, *report.notes))),
        remarks=tuple(report.remarks),
        vulnerabilities=tuple(_vulnerability(each, report) for each in report.findings),
    )


def name_of(package: Package) -> str:
    """Return the name of a package as its ecosystem writes it."""
    separator = SEPARATORS.get(package.type)
    return f"{package.namespace}{separator}{package.name}" if separator and package.namespace else package.name


def _vulnerability(finding: Finding, report: Report) -> Vulnerability:
    package = finding.package
    return Vulnerability(
        id=finding.id,
        aliases=finding.aliases,
        covers=finding.covers,
        severity=finding.severity,
        score=None if finding.score is None else float(finding.score),
        package=name_of(package),
        version=package.version,
        path=package.path,
        purl=package_url(package, report.image.distribution),
        ecosystem=finding.ecosystem,
        fixed=finding.fixed,
        summary=finding.summary,
        published=finding.published,
        epss=None if finding.epss is None else float(finding.epss),
        known_exploited=finding.known_exploited,
        uncertain=finding.uncertain,
        suppressed=finding.suppressed,
        source=finding.source or package.origin,
    )


def _predicate(report: Report, document: ScanDocument) -> dict[str, Any]:
    at = rfc3339(report.at)
    fields = {name: value for name, value in set_fields(document).items() if name != "vulnerabilities"}
    versions = " ".join(f"{name}={version}" for name, version in document.data.items())
    return {
        "scanner": {
            "uri": SCANNER,
            "version": report.scanner,
            "db": {"uri": DATA, "version": versions, "lastUpdate": rfc3339(report.updated or NEVER)},
            "result": [*_incomplete(document), *map(_result, document.vulnerabilities)],
        },
        "metadata": {"scanStartedOn": at, "scanFinishedOn": at},
        EXTENSION: {"schema": document.schema, **fields},
    }


def _incomplete(document: ScanDocument) -> list[dict[str, Any]]:
    """Return the entry of a result that is not complete."""
    if document.state == DONE:
        return []
    severity = [{"method": "lading", "score": UNKNOWN}]
    return [
        {"id": f"LADING-{document.state}".upper(), "severity": severity, "annotations": [{INCOMPLETE: document.gaps}]}
    ]


def _result(vulnerability: Vulnerability) -> dict[str, Any]:
    severity = [{"method": "lading", "score": vulnerability.severity}]
    if vulnerability.score is not None:
        severity.append({"method": "cvss_score", "score": str(vulnerability.score)})
    fields = set_fields(vulnerability)
    return {"id": fields.pop("id"), "severity": severity, "annotations": [fields]}
