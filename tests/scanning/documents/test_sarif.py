"""SARIF logs: what the specification requires, and what GitHub's code scanning reads."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import pytest
from hypothesis import given, settings

from lading.scanning.documents.sarif import sarif
from lading.scanning.documents.scan_document import ScanDocument
from lading.scanning.documents.statement import document_of
from lading.scanning.findings import DONE, PARTIAL, Report
from tests.scanning.documents.reports import ADVISORY, DIGEST, FULL, IN_PART, LOG4SHELL, STATES, random_reports

FIELDS: Final = {
    "log": {"$schema", "version", "runs"},
    "run": {"tool", "invocations", "originalUriBaseIds", "results", "columnKind", "properties"},
    "driver": {"name", "version", "rules"},
    "rule": {"id", "shortDescription", "defaultConfiguration", "helpUri", "properties"},
    "invocation": {"executionSuccessful", "toolExecutionNotifications", "endTimeUtc"},
    "notification": {"level", "message"},
    "result": {
        "ruleId",
        "ruleIndex",
        "level",
        "message",
        "locations",
        "partialFingerprints",
        "suppressions",
        "properties",
    },
    "location": {"logicalLocations", "physicalLocation"},
    "logicalLocation": {"kind", "name", "fullyQualifiedName"},
    "suppression": {"kind", "status", "justification"},
}
"""Fields that occur, all of which the schema of the specification has; it allows no others."""

LEVELS: Final = ("none", "note", "warning", "error")


def check_message(message: Any) -> None:
    assert list(message) == ["text"]
    assert message["text"]


def check_rule(rule: Any) -> None:
    assert set(rule) <= FIELDS["rule"]
    check_message(rule["shortDescription"])
    assert rule["defaultConfiguration"]["level"] in LEVELS
    assert rule["helpUri"].startswith("https://osv.dev/vulnerability/")
    assert all(isinstance(each, str) for each in rule["properties"]["tags"])
    score = rule["properties"].get("security-severity", "0.1")
    assert isinstance(score, str)
    assert 0 < float(score) <= 10


def check_result(result: Any, rules: Any) -> None:
    assert set(result) == FIELDS["result"]
    assert result["level"] in LEVELS
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    check_message(result["message"])
    (location,) = result["locations"]
    assert set(location) <= FIELDS["location"]
    assert all(set(each) == FIELDS["logicalLocation"] for each in location["logicalLocations"])
    if physical := location.get("physicalLocation"):
        assert physical["region"] == {"startLine": 1}
        assert physical["artifactLocation"]["uri"].isascii()
        assert not set(physical["artifactLocation"]["uri"]) & set(' :?#"<>\\')
    for each in result["suppressions"]:
        assert set(each) == FIELDS["suppression"]


def check(log: Any) -> Any:
    """Check what section 3 of the specification requires; return the run."""
    assert set(log) == FIELDS["log"]
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    assert set(run) <= FIELDS["run"]
    (invocation,) = run["invocations"]
    assert set(invocation) <= FIELDS["invocation"]
    assert isinstance(invocation["executionSuccessful"], bool)
    if end := invocation.get("endTimeUtc"):
        datetime.fromisoformat(end)
    for each in invocation["toolExecutionNotifications"]:
        assert set(each) == FIELDS["notification"]
        assert each["level"] in LEVELS
        check_message(each["message"])
    driver = run["tool"]["driver"]
    assert set(driver) == FIELDS["driver"]
    assert driver["version"]
    assert len({each["id"] for each in driver["rules"]}) == len(driver["rules"])
    for each in driver["rules"]:
        check_rule(each)
    for each in run.get("results", []):
        check_result(each, driver["rules"])
    return run


def run_of(document: ScanDocument) -> Any:
    return check(json.loads(sarif(document)))


def test_a_result_names_the_package_its_file_and_the_update() -> None:
    result = run_of(document_of(FULL))["results"][0]
    assert result["message"]["text"] == (
        "org.apache.logging.log4j:log4j-core 2.14.1 has CVE-2021-44228, of critical severity. Update it to 2.15.0. "
        "It is known to be exploited. It may be false: the group of the jar is a guess."
    )
    physical = result["locations"][0]["physicalLocation"]
    assert physical["artifactLocation"] == {"uri": "app/lib/log4j%20core.jar", "uriBaseId": "IMAGE"}
    assert result["level"] == "error"


def test_github_orders_rules_by_their_scores() -> None:
    rules = run_of(document_of(FULL))["tool"]["driver"]["rules"]
    scores = [each["properties"].get("security-severity") for each in rules]
    assert scores == ["10.0", "8.0", None]


def test_packages_with_the_same_vulnerability_share_a_rule_with_the_worst_severity() -> None:
    other = replace(LOG4SHELL, severity="low", score=2.0, package=replace(LOG4SHELL.package, path="b.jar"))
    run = run_of(document_of(replace(FULL, findings=[other, LOG4SHELL])))
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule["properties"]["security-severity"] == "10.0"
    assert [each["level"] for each in run["results"]] == ["note", "error"]
    assert len({each["partialFingerprints"]["lading/v1"] for each in run["results"]}) == 2


def test_a_suppressed_result_says_why_and_all_others_that_they_are_not() -> None:
    suppressions = [each["suppressions"] for each in run_of(document_of(FULL))["results"]]
    reason = FULL.findings[1].suppressed
    assert suppressions == [[], [{"kind": "external", "status": "accepted", "justification": reason}], []]


def test_an_advisory_names_what_it_covers() -> None:
    (rule,) = run_of(document_of(replace(FULL, findings=[ADVISORY])))["tool"]["driver"]["rules"]
    assert (rule["id"], rule["properties"]["aliases"]) == ("RLSA-2023:1", ["CVE-2023-1", "CVE-2023-2"])


@pytest.mark.parametrize("state", STATES)
def test_only_a_complete_scan_was_successful(state: str) -> None:
    run = run_of(document_of(STATES[state]))
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] == (state == DONE)
    assert any(each["level"] == "error" for each in invocation["toolExecutionNotifications"]) == (state != DONE)
    assert ("results" in run) == (state in (DONE, PARTIAL))


def test_each_gap_is_a_notification() -> None:
    (invocation,) = run_of(document_of(IN_PART))["invocations"]
    texts = [each["message"]["text"] for each in invocation["toolExecutionNotifications"]]
    assert texts == [f"{each}." for each in document_of(IN_PART).gaps]


@pytest.mark.parametrize("state", ["waiting", "not scanned"])
def test_an_image_without_a_report_has_no_results(state: str) -> None:
    run = run_of(ScanDocument(digest=DIGEST, state=state))
    assert "results" not in run
    assert not run["invocations"][0]["executionSuccessful"]


@settings(max_examples=30)
@given(random_reports())
def test_any_report_makes_a_valid_log(report: Report) -> None:
    run = run_of(document_of(report))
    assert len(run.get("results", report.findings)) == len(report.findings)
