"""Harbor's reports, by its specification and the constants of its code."""

import json
from typing import Any, Final

import pytest
from hypothesis import given, settings

from lading.scanning.documents.harbor import harbor
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.documents.statement import document_of
from lading.scanning.findings import DONE, Report
from tests.scanning.documents.reports import DIGEST, FULL, IN_PART, STATES, random_reports

SEVERITIES: Final = ("Unknown", "Negligible", "Low", "Medium", "High", "Critical")


def report_of(document: ScanDocument) -> Any:
    """Return the report of a document, checked."""
    report = json.loads(harbor(document))
    assert report["artifact"] == {"digest": document.digest}
    assert set(report["scanner"]) == {"name", "vendor", "version"}
    assert report["severity"] in (*SEVERITIES, "None")
    for each in report["vulnerabilities"]:
        texts = [each["id"], each["package"], each["version"], each["description"], *each["links"]]
        assert all(isinstance(text, str) for text in texts)
        assert each["severity"] in SEVERITIES
    return report


def test_a_vulnerability_has_its_cve_by_which_harbor_allows_it() -> None:
    report = report_of(document_of(FULL))
    first = report["vulnerabilities"][0]
    assert first.pop("vendor_attributes") == {
        "osv_id": "GHSA-jfh8-c2jp-5v3q",
        "aliases": ["CVE-2021-44228"],
        "score": 10.0,
        "path": "app/lib/log4j core.jar",
        "purl": "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
        "ecosystem": "Maven",
        "epss": 0.97,
        "known_exploited": True,
        "uncertain": "the group of the jar is a guess",
    }
    assert first == {
        "id": "CVE-2021-44228",
        "package": "org.apache.logging.log4j:log4j-core",
        "version": "2.14.1",
        "fix_version": "2.15.0",
        "severity": "Critical",
        "description": "Remote code injection in Log4j",
        "links": ["https://osv.dev/vulnerability/GHSA-jfh8-c2jp-5v3q"],
        "artifact_digests": [DIGEST],
    }
    assert report["generated_at"] == "2026-11-29T06:30:00.000000Z"


def test_a_suppressed_vulnerability_says_why_and_does_not_count() -> None:
    document = document_of(FULL)
    suppressed = ScanDocument(digest=DIGEST, state=DONE, vulnerabilities=document.vulnerabilities[1:2])
    report = report_of(suppressed)
    assert report["severity"] == "None"
    assert report["vulnerabilities"][0]["vendor_attributes"]["suppressed"] == FULL.findings[1].suppressed


@pytest.mark.parametrize("state", [*STATES, "waiting", "not scanned"])
def test_only_a_complete_scan_finds_nothing(state: str) -> None:
    """The format has no state, so that an empty list would be read as "no vulnerabilities"."""
    report = report_of(document_of(STATES[state]) if state in STATES else ScanDocument(digest=DIGEST, state=state))
    if state == DONE:
        assert (report["severity"], report["vulnerabilities"]) == ("None", [])
    else:
        (entry,) = report["vulnerabilities"]
        assert (report["severity"], entry["severity"]) == ("Unknown", "Unknown")


def test_each_gap_is_described() -> None:
    (entry,) = report_of(document_of(IN_PART))["vulnerabilities"]
    assert entry["id"] == "LADING-PARTIAL"
    assert all(gap in entry["description"] for gap in document_of(IN_PART).gaps)


@settings(max_examples=30)
@given(random_reports())
def test_any_report_makes_a_valid_one(report: Report) -> None:
    found = report_of(document_of(report))
    assert len(found["vulnerabilities"]) == len(report.findings) + (report.state != DONE)
