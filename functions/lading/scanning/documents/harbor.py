"""Scan document as a report of Harbor's pluggable scanners, version 1.1.

https://github.com/goharbor/pluggable-scanner-spec/blob/master/api/spec/scanner-adapter-openapi-v1.1.yaml, with the
fields that Harbor added since (https://github.com/goharbor/harbor/blob/main/src/pkg/scan/vuln/report.go). The format
has no state: a result that is not complete has an entry of unknown severity that says so.
"""

from typing import Any, Final
from urllib.parse import quote

from lading.json_values import rfc3339
from lading.scanning.documents.encoding import encode, set_fields
from lading.scanning.documents.scan_document import ScanDocument, Vulnerability
from lading.scanning.documents.severities import FORMATS
from lading.scanning.findings import DONE, SEVERITIES, UNKNOWN

RECORDS: Final = "https://osv.dev/vulnerability/"
NO_VULNERABILITY: Final = "None"
"""Harbor's severity of an artifact without vulnerabilities."""


def harbor(document: ScanDocument) -> bytes:
    """Return a scan document as a report."""
    return encode(
        {
            **({} if document.at is None else {"generated_at": rfc3339(document.at)}),
            "artifact": {"digest": document.digest},
            "scanner": {"name": "Lading", "vendor": "Lading", "version": document.scanner or "unknown"},
            "severity": _severity(document),
            "vulnerabilities": [*_incomplete(document), *(_item(each, document) for each in document.vulnerabilities)],
        }
    )


def _severity(document: ScanDocument) -> str:
    """Return the worst severity of what is not suppressed; at least unknown if the result is not complete."""
    found = {each.severity for each in document.vulnerabilities if not each.suppressed}
    if document.state != DONE:
        found.add(UNKNOWN)
    return FORMATS[min(found, key=SEVERITIES.index)].harbor if found else NO_VULNERABILITY


def _incomplete(document: ScanDocument) -> list[dict[str, Any]]:
    if document.state == DONE:
        return []
    entry = {"package": "", "version": "", "severity": FORMATS[UNKNOWN].harbor, "links": []}
    text = ". ".join(document.gaps)
    return [{**entry, "id": f"LADING-{document.state}".upper(), "description": f"{text}."}]


def _item(vulnerability: Vulnerability, document: ScanDocument) -> dict[str, Any]:
    own = (
        "aliases",
        "covers",
        "ecosystem",
        "epss",
        "known_exploited",
        "path",
        "purl",
        "score",
        "source",
        "suppressed",
        "uncertain",
    )
    attributes = {name: value for name, value in set_fields(vulnerability).items() if name in own}
    return {
        "id": vulnerability.cve,
        "package": vulnerability.package,
        "version": vulnerability.version,
        "fix_version": vulnerability.fixed,
        "severity": FORMATS[vulnerability.severity].harbor,
        "description": vulnerability.summary,
        "links": [f"{RECORDS}{quote(vulnerability.id, safe='', errors='replace')}"],
        "artifact_digests": [document.digest],
        "vendor_attributes": {"osv_id": vulnerability.id, **attributes},
    }
