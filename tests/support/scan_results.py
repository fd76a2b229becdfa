"""Results of scans in a registry, as a scanner makes them, with findings that a test chooses."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from lading.registry.registry import Registry
from lading.registry.scans.claim import ScanResult
from lading.scanning.documents.cyclonedx import cyclonedx
from lading.scanning.documents.statement import statement
from lading.scanning.findings import DONE, Finding, Report
from lading.scanning.packages import DEB, Distribution, ImagePackages, Package

NOW: Final = datetime(2026, 11, 1, 12, tzinfo=UTC)

OPENSSL: Final = Package(type=DEB, namespace="debian", name="openssl", version="3.0.11-1", path="var/lib/dpkg/status")


def finding(severity: str, id: str = "CVE-2026-1", **fields: Any) -> Finding:
    """A vulnerability of openssl."""
    return Finding(id=id, package=OPENSSL, ecosystem="Debian:12", severity=severity, **fields)


def report_of(digest: str, findings: Sequence[Finding] = (), state: str = DONE, **fields: Any) -> Report:
    """A report on an image of Debian with one package."""
    image = ImagePackages(packages=[OPENSSL], distribution=Distribution(id="debian", version="12"))
    values = {"data": {"Debian": "etag-1"}, "at": NOW, "scanner": "1.0", **fields}
    return Report(digest=digest, state=state, image=image, findings=findings, **values)


def store_result(registry: Registry, repository: str, digest: str, report: Report, **fields: Any) -> None:
    """Scan an image again, with this result, or with other fields of it."""
    registry.scans.again(repository, digest)
    (claim,) = [each for each in registry.scans.claims.claim(100, 1) if each.digest == digest]
    values: dict[str, Any] = {
        "state": report.state,
        "at": report.at,
        "counts": report.counts,
        "worst": json.dumps([{"id": each.id, "package": each.package.name} for each in report.findings]).encode(),
        "data": report.data,
        "missing": report.missing,
        "notes": report.notes,
        "extractor": 1,
        "fingerprint": f"{len(report.findings)} {report.state} {report.at}",
        "sbom": cyclonedx(report),
        "report": statement(report),
    }
    registry.scans.results.accept(repository, digest, claim.nonce, ScanResult(**(values | fields)))
