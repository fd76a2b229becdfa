"""Reports as in-toto statements, and back."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from lading.scanning.documents.scan_document import Count, ScanDocument, read
from lading.scanning.documents.statement import document_of, statement
from lading.scanning.documents.table import table
from lading.scanning.findings import DONE, Report
from tests.scanning.documents.costs import calls_of, peak_of
from tests.scanning.documents.reports import DIGEST, FULL, IN_PART, LOG4SHELL, STATES, large_report, random_reports


def check(value: Any) -> Any:
    """Check what the specifications of the statement and the predicate require; return the predicate.

    https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and .../spec/predicates/vuln.md
    """
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "https://in-toto.io/attestation/vulns/v0.1"
    (subject,) = value["subject"]
    assert all(isinstance(each, str) for each in (subject["name"], *subject["digest"].values()))
    predicate = value["predicate"]
    scanner, metadata = predicate["scanner"], predicate["metadata"]
    required = [scanner["uri"], scanner["db"]["lastUpdate"], metadata["scanStartedOn"], metadata["scanFinishedOn"]]
    assert all(isinstance(each, str) and each for each in required)
    for each in scanner["result"]:
        assert isinstance(each["id"], str)
        assert each["severity"]
        assert all(isinstance(one["method"], str) and isinstance(one["score"], str) for one in each["severity"])
        assert all(isinstance(one, dict) for one in each["annotations"])
    return predicate


def predicate_of(report: Report) -> Any:
    return check(json.loads(statement(report)))


def test_the_subject_is_the_image() -> None:
    value = json.loads(statement(FULL))
    assert value["subject"] == [{"name": DIGEST, "digest": {"sha256": DIGEST.removeprefix("sha256:")}}]


def test_the_predicate_says_which_data_was_used() -> None:
    scanner = predicate_of(FULL)["scanner"]
    assert scanner["uri"] == "pkg:pypi/lading-registry"
    assert scanner["version"] == "0.1.0"
    assert scanner["db"] == {
        "uri": "https://osv.dev",
        "version": 'Debian="etag-1" Maven="etag-2"',
        "lastUpdate": "2026-11-28T00:00:00.000000Z",
    }


def test_data_of_an_unknown_age_is_not_fresh() -> None:
    """Policies ask that data is newer than a time."""
    assert predicate_of(replace(FULL, updated=None))["scanner"]["db"]["lastUpdate"] == "1970-01-01T00:00:00.000000Z"


def test_a_vulnerability_has_its_severity_in_two_methods_and_all_else_in_an_annotation() -> None:
    first = predicate_of(FULL)["scanner"]["result"][0]
    assert first == {
        "id": "GHSA-jfh8-c2jp-5v3q",
        "severity": [{"method": "lading", "score": "critical"}, {"method": "cvss_score", "score": "10.0"}],
        "annotations": [
            {
                "aliases": ["CVE-2021-44228"],
                "severity": "critical",
                "score": 10.0,
                "package": "org.apache.logging.log4j:log4j-core",
                "version": "2.14.1",
                "path": "app/lib/log4j core.jar",
                "purl": "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
                "ecosystem": "Maven",
                "fixed": "2.15.0",
                "summary": "Remote code injection in Log4j",
                "published": "2021-12-10T00:00:00.000000Z",
                "epss": 0.97,
                "known_exploited": True,
                "uncertain": "the group of the jar is a guess",
            }
        ],
    }


@pytest.mark.parametrize("state", STATES)
def test_only_a_complete_result_is_an_empty_list(state: str) -> None:
    """The specification reads an empty list as "no vulnerabilities"; a consumer knows no field of ours."""
    results = predicate_of(STATES[state])["scanner"]["result"]
    if state == DONE:
        assert results == []
    else:
        (entry,) = results
        assert entry["id"] == f"LADING-{state.upper()}"
        assert entry["severity"] == [{"method": "lading", "score": "unknown"}]
        assert entry["annotations"][0]["incomplete"]


def test_a_suppressed_vulnerability_is_marked_and_not_counted() -> None:
    found = read(statement(FULL))
    assert [each.suppressed for each in found.vulnerabilities] == ["", FULL.findings[1].suppressed, ""]
    assert found.counts == {"critical": Count(fixable=1, unfixable=0), "unknown": Count(fixable=0, unfixable=1)}


def test_a_vulnerability_of_a_package_with_several_paths_counts_once_as_in_the_table() -> None:
    elsewhere = replace(LOG4SHELL, package=replace(LOG4SHELL.package, path="other.jar"))
    newer = replace(LOG4SHELL, package=replace(LOG4SHELL.package, version="2.14.9"))
    certain = replace(elsewhere, uncertain="")
    found = document_of(replace(FULL, findings=[LOG4SHELL, elsewhere, newer, certain]))

    assert found.counts == {"critical": Count(fixable=3, unfixable=0)}
    assert len(table(found)) == 3
    assert len(found.vulnerabilities) == 4, "each path is listed"


def test_each_gap_is_a_clause() -> None:
    assert read(statement(IN_PART)).gaps == (
        "the image was compared in part",
        "usr/bin/tool: could not be read: it is packed",
        "version x of y cannot be compared",
        "there is no vulnerability data of npm",
    )
    assert ScanDocument(digest=DIGEST, state="failed", reason="a bomb").gaps == (
        "the image could not be scanned: a bomb",
    )
    assert read(statement(STATES[DONE])).gaps == ()


@pytest.mark.parametrize("state", STATES)
def test_only_results_with_vulnerabilities_have_counts(state: str) -> None:
    assert (read(statement(STATES[state])).counts is None) == (state in ("unsupported", "failed"))


@settings(max_examples=60)
@given(random_reports())
def test_any_report_is_read_as_it_was_written(report: Report) -> None:
    content = statement(report)
    check(json.loads(content))
    written, found = document_of(report), read(content)
    assert len(found.vulnerabilities) == len(report.findings)
    if "?" not in content.decode():
        assert found == written
    assert found.counts == written.counts
    assert statement(report) == content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"predicate":{"scanner":{"result":[]}}}',
        b'{"predicate":{"scanner":{"result":[{}]},"lading":{}}}',
        b'{"predicate":{"scanner":{"result":[]},"lading":{"digest":1,"state":"done"}}}',
        b"\xff",
    ],
)
def test_other_statements_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(content)


def test_the_costs_of_a_large_report_are_linear_and_bounded() -> None:
    small, large = large_report(100, 100), large_report(100, 400)
    assert calls_of(lambda: statement(large)) < 4.4 * calls_of(lambda: statement(small))
    content = statement(large)
    assert len(content) < 400 * 1000
    assert peak_of(lambda: read(content)) < 400 * 6000
