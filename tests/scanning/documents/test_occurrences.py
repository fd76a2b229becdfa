"""Occurrences, by the discovery document of Google's Container Analysis."""

import json
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings

from lading.scanning.documents.occurrences import PACKAGE_TYPES, occurrences
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.documents.statement import document_of
from lading.scanning.findings import DONE
from tests.scanning.documents.reports import DIGEST, FULL, IN_PART, LOG4SHELL, STATES, UNFIXED, random_reports
from tests.support.discovery import document as discovery_document
from tests.support.discovery import unknown

IMAGE: Final = f"registry.example.com/team/app@{DIGEST}"
URI: Final = f"https://{IMAGE}"


def listed(document: ScanDocument) -> list[dict[str, Any]]:
    """Return the occurrences of a document, checked."""
    value = json.loads(occurrences(document, IMAGE))
    faults = unknown(discovery_document("containeranalysis.v1"), "ListOccurrencesResponse", value, "list")
    assert faults == []
    found: list[dict[str, Any]] = value["occurrences"]
    assert len({each["name"] for each in found}) == len(found)
    assert {each["resourceUri"] for each in found} == {URI}
    assert [each["kind"] for each in found] == ["DISCOVERY"] + ["VULNERABILITY"] * (len(found) - 1)
    return found


def test_the_first_says_that_the_scan_is_complete() -> None:
    first = listed(document_of(FULL))[0]
    assert first["discovery"] == {
        "continuousAnalysis": "ACTIVE",
        "analysisStatus": "FINISHED_SUCCESS",
        "lastScanTime": "2026-11-29T06:30:00.000000Z",
        "cpe": "cpe:/o:debian:debian_linux:12",
    }
    assert first["createTime"] == first["updateTime"] == "2026-11-29T06:30:00.000000Z"
    assert first["noteName"] == "projects/lading/notes/PACKAGE_VULNERABILITY"


def test_a_vulnerability_is_named_by_its_cve_and_has_an_issue_for_each_package() -> None:
    other = replace(LOG4SHELL, package=replace(LOG4SHELL.package, path="other.jar"))
    found = listed(document_of(replace(FULL, findings=[LOG4SHELL, other])))
    (_, occurrence) = found
    assert occurrence["noteName"] == "projects/lading/notes/CVE-2021-44228"
    vulnerability = occurrence["vulnerability"]
    issues = vulnerability.pop("packageIssue")
    assert vulnerability == {
        "type": "MAVEN",
        "severity": "CRITICAL",
        "effectiveSeverity": "CRITICAL",
        "shortDescription": "CVE-2021-44228",
        "longDescription": "Remote code injection in Log4j",
        "fixAvailable": True,
        "relatedUrls": [{"url": "https://osv.dev/vulnerability/GHSA-jfh8-c2jp-5v3q", "label": "OSV"}],
        "cvssScore": 10.0,
        "risk": {"epss": {"score": 0.97}, "cisaKev": {}},
    }
    assert [each["fileLocation"] for each in issues] == [
        [{"filePath": "app/lib/log4j core.jar"}],
        [{"filePath": "other.jar"}],
    ]
    assert issues[0]["affectedVersion"] == {"kind": "NORMAL", "name": "2.14.1", "fullName": "2.14.1"}
    assert issues[0]["fixedVersion"] == {"kind": "NORMAL", "name": "2.15.0", "fullName": "2.15.0"}


@pytest.mark.parametrize(
    ("version", "parts"),
    [
        ("3.0.11-1~deb12u2", {"name": "3.0.11", "revision": "1~deb12u2"}),
        ("1:2.38.1-5", {"epoch": 1, "name": "2.38.1", "revision": "5"}),
        ("2026a", {"name": "2026a"}),
        ("1-2-3", {"name": "1-2", "revision": "3"}),
    ],
)
def test_the_version_of_a_package_of_a_distribution_is_in_parts(version: str, parts: dict[str, Any]) -> None:
    finding = replace(UNFIXED, package=replace(UNFIXED.package, version=version))
    (issue,) = listed(document_of(replace(FULL, findings=[finding])))[1]["vulnerability"]["packageIssue"]
    assert issue["affectedVersion"] == {"kind": "NORMAL", "fullName": version, **parts}
    assert issue["affectedCpeUri"] == "cpe:/o:debian:debian_linux:12"
    assert (issue["fixedVersion"], issue["fixAvailable"]) == ({"kind": "MAXIMUM"}, False)


def test_a_suppressed_vulnerability_says_why() -> None:
    found = {each["noteName"].rpartition("/")[2]: each["vulnerability"] for each in listed(document_of(FULL))[1:]}
    assert found["CVE-2023-5678"]["vexAssessment"] == {
        "vulnerabilityId": "CVE-2023-5678",
        "state": "NOT_AFFECTED",
        "justification": {"details": "vulnerable_code_not_in_execute_path (https://example.org/vex-1)"},
    }
    assert "vexAssessment" not in found["CVE-2021-44228"]


@pytest.mark.parametrize("state", [*STATES, "waiting", "not scanned"])
def test_only_a_complete_scan_has_finished(state: str) -> None:
    document = document_of(STATES[state]) if state in STATES else ScanDocument(digest=DIGEST, state=state)
    (only,) = listed(document)
    discovery = only["discovery"]
    assert (discovery["analysisStatus"] == "FINISHED_SUCCESS") == (state == DONE)
    assert ("analysisStatusError" in discovery) == (state not in (DONE, "waiting"))


def test_each_gap_is_described() -> None:
    message = listed(document_of(IN_PART))[0]["discovery"]["analysisStatusError"]["message"]
    assert all(gap in message for gap in document_of(IN_PART).gaps)


def test_the_types_of_packages_are_those_of_google() -> None:
    known = discovery_document("ondemandscanning.v1")["schemas"]["PackageData"]["properties"]["packageType"]["enum"]
    assert set(PACKAGE_TYPES.values()) <= set(known)


@settings(max_examples=200, deadline=None)
@given(random_reports())
def test_any_report_becomes_a_list(report: Any) -> None:
    found = listed(document_of(report))
    issues = sum(len(each["vulnerability"]["packageIssue"]) for each in found[1:])
    assert issues == len(report.findings)
