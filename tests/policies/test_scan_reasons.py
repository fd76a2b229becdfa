"""What policies decide about scans, by each of their words, at each bound, and by what is not known."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from lading.policies.evidence import ALLOWED, DENIED
from tests.policies.examples import (
    NOW,
    decide,
    facts,
    finding,
    policy,
)

SECOND: Final = timedelta(seconds=1)
MAXIMUM: Final = {"maximumFixableSeverity": "medium"}

SCANS: Final[dict[str, dict[str, Any]]] = {
    "required": {"required": True},
    "maxAge": {"maxAge": "1d"},
    "maximumFixableSeverity": MAXIMUM,
    "maximumUnfixableSeverity": {"maximumUnfixableSeverity": "high"},
    "blockKnownExploited": {"blockKnownExploited": True},
    "sbom": {"sbom": "required"},
}
"""Each word of [policies.scan] alone."""

FINDINGS_WORDS: Final = {"maximumFixableSeverity", "maximumUnfixableSeverity", "blockKnownExploited"}


@pytest.mark.parametrize("word", SCANS)
def test_a_complete_scan_without_findings_passes(word: str) -> None:
    assert decide(policy(scan=SCANS[word])).outcome == ALLOWED


@pytest.mark.parametrize("word", SCANS)
@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (None, "it is not scanned"),
        (facts(state="waiting", at=None, reason="no memory"), "it is not scanned yet: no memory"),
        (facts(state="unsupported", reason="no packages"), "its packages cannot be read: no packages"),
        (facts(state="failed", reason="a layer is gone"), "it could not be scanned: a layer is gone"),
        (facts(state="excellent"), "its scan is excellent"),
    ],
    ids=["none", "waiting", "unsupported", "failed", "of a newer release"],
)
def test_no_word_is_fulfilled_without_a_scan(word: str, given: Any, reason: str) -> None:
    decision = decide(policy(scan=SCANS[word]), facts=given)
    assert (decision.outcome, decision.reasons) == (DENIED, (reason,))


PARTIAL: Final = {
    "notes": (facts(state="partial", notes=("a layer is too large",)), "a layer is too large"),
    "missing": (facts(state="partial", missing=("PyPI",)), "there is no vulnerability data of PyPI"),
    "done, with missing data": (facts(missing=("PyPI",)), "there is no vulnerability data of PyPI"),
    "no reason": (facts(state="partial"), "it was scanned in part"),
    "no data": (facts(data=()), "its packages were compared with no data"),
    "data on exploits only": (facts(data=("exploits=1",)), "its packages were compared with no data"),
    "documents of others only": (facts(data=("exploits=1", "signed=1")), "its packages were compared with no data"),
}


@pytest.mark.parametrize("word", SCANS)
@pytest.mark.parametrize("name", PARTIAL)
def test_a_scan_in_part_says_nothing_about_findings(word: str, name: str) -> None:
    given, gap = PARTIAL[name]
    decision = decide(policy(scan=SCANS[word]), facts=given)
    if word in FINDINGS_WORDS:
        assert decision.outcome == DENIED
        assert decision.reasons[0].startswith(f"it is not known which vulnerabilities it has: {gap}")
    else:
        assert decision.outcome == ALLOWED


SEVERITIES: Final = ("critical", "high", "medium", "unknown", "low", "negligible")
ALLOWED_BY: Final = {
    "critical": SEVERITIES,
    "high": SEVERITIES[1:],
    "medium": SEVERITIES[2:],
    "low": SEVERITIES[4:],
    "negligible": SEVERITIES[5:],
    "none": (),
}


@pytest.mark.parametrize("maximum", ALLOWED_BY)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("fixed", ["2.0", ""])
def test_a_maximum_allows_what_is_as_severe_or_less(maximum: str, severity: str, fixed: str) -> None:
    given = facts(finding(severity=severity, fixed=fixed))
    word, other = "maximumFixableSeverity", "maximumUnfixableSeverity"
    if not fixed:
        word, other = other, word
    outcome = ALLOWED if severity in ALLOWED_BY[maximum] else DENIED
    assert decide(policy(scan={word: maximum}), facts=given).outcome == outcome
    assert decide(policy(scan={other: "none"}), facts=given).outcome == ALLOWED


def test_a_severity_of_a_newer_release_is_too_severe() -> None:
    given = facts(finding(severity="cosmic"))
    assert decide(policy(scan={"maximumFixableSeverity": "high"}), facts=given).outcome == DENIED
    assert decide(policy(scan={"maximumFixableSeverity": "critical"}), facts=given).outcome == ALLOWED


def test_the_reason_names_the_worst_that_is_not_allowed() -> None:
    given = facts(
        finding("CVE-2026-3", "critical"), finding("CVE-2026-2", "high", package="zlib", fixed="1.3"), finding()
    )
    allowed = [{"id": "CVE-2026-3", "until": "2026-12-31", "reason": "not reachable"}]
    decision = decide(policy(scan=MAXIMUM | {"allowedCves": allowed}), facts=given)
    assert decision.reasons == (
        "2 vulnerabilities with a fix are worse than medium (CVE-2026-2 (high) in zlib 1.0, fixed in 1.3)",
    )
    assert decision.findings == (
        "CVE-2026-2 (high) in zlib 1.0, fixed in 1.3",
        "CVE-2026-1 (high) in openssl 1.0, fixed in 2.0",
    )


def test_what_is_counted_and_not_listed_is_never_allowed() -> None:
    allowed = [{"id": "CVE-2026-1", "until": "2026-12-31", "reason": "not reachable"}]
    rule = policy(scan=MAXIMUM | {"allowedCves": allowed})
    assert decide(rule, facts=facts(finding())).outcome == ALLOWED
    unlisted = decide(rule, facts=facts(finding(), counts={"high": [2, 0]}, truncated=1))
    assert unlisted.reasons == ("1 vulnerability with a fix is worse than medium (not listed)",)
    assert decide(rule, facts=facts(counts={"high": [1, 0]}, truncated=1)).outcome == DENIED
    # Counts that say less than the list do not allow what is listed.
    assert decide(rule, facts=facts(finding("CVE-2026-9"), finding(), counts={})).outcome == ALLOWED
    assert decide(rule, facts=facts(finding("CVE-2026-9"), finding(), counts={"high": [1, 0]})).outcome == DENIED


def test_too_many_allowed_ones_of_one_severity_do_not_hide_others() -> None:
    allowed = [{"id": "CVE-2026-1", "until": "2026-12-31", "reason": "not reachable"}]
    given = facts(finding(), finding(), finding(), counts={"high": [1, 0], "critical": [2, 0]}, truncated=2)
    decision = decide(policy(scan=MAXIMUM | {"allowedCves": allowed}), facts=given)
    assert decision.reasons == ("2 vulnerabilities with a fix are worse than medium (not listed)",)


@pytest.mark.parametrize(
    ("given", "ids", "outcome"),
    [
        ({"id": "CVE-2026-1"}, ["CVE-2026-1"], ALLOWED),
        ({"id": "GHSA-1", "aliases": ["CVE-2026-1"]}, ["CVE-2026-1"], ALLOWED),
        ({"id": "CVE-2026-1", "aliases": ["GHSA-1"]}, ["GHSA-1"], ALLOWED),
        ({"id": "DEBIAN-CVE-2026-1", "aliases": ["CVE-2026-1"]}, ["DEBIAN-CVE-2026-1"], ALLOWED),
        ({"id": "GHSA-1", "aliases": ["CVE-2026-1", "CVE-2026-2"]}, ["CVE-2026-1"], DENIED),
        ({"id": "GHSA-1", "aliases": ["CVE-2026-1", "CVE-2026-2"]}, ["CVE-2026-1", "CVE-2026-2"], ALLOWED),
        ({"id": "RLSA-1", "covers": ["CVE-2026-1", "CVE-2026-2"]}, ["CVE-2026-1"], DENIED),
        ({"id": "RLSA-1", "covers": ["CVE-2026-1", "CVE-2026-2"]}, ["CVE-2026-1", "CVE-2026-2"], ALLOWED),
        ({"id": "RLSA-1", "covers": ["CVE-2026-1"]}, ["RLSA-1"], ALLOWED),
        ({"id": "CVE-2026-10"}, ["CVE-2026-1"], DENIED),
        ({"id": "GHSA-1"}, ["CVE-2026-1"], DENIED),
    ],
)
def test_an_allowed_cve_is_known_by_any_of_its_ids(given: dict[str, Any], ids: list[str], outcome: str) -> None:
    allowed = [{"id": id, "until": "2026-12-31", "reason": "not reachable"} for id in ids]
    rule = policy(scan=MAXIMUM | {"allowedCves": allowed, "blockKnownExploited": True})
    assert decide(rule, facts=facts(finding(**given, known_exploited=True))).outcome == outcome


@pytest.mark.parametrize(("now", "outcome"), [(NOW - SECOND, ALLOWED), (NOW, DENIED)])
def test_an_allowed_cve_ends(now: Any, outcome: str) -> None:
    allowed = [{"id": "CVE-2026-1", "until": NOW.isoformat(), "reason": "not reachable"}]
    rule = policy(scan=MAXIMUM | {"allowedCves": allowed})
    assert decide(rule, facts=facts(finding()), now=now).outcome == outcome


def test_what_is_suppressed_does_not_count() -> None:
    given = facts(finding(suppressed="not affected", known_exploited=True))
    assert decide(policy(scan=MAXIMUM | {"blockKnownExploited": True}), facts=given).outcome == ALLOWED


def test_known_exploited_ones_are_refused_whatever_their_severity() -> None:
    rule = policy(scan={"blockKnownExploited": True})
    decision = decide(rule, facts=facts(finding(severity="low", fixed="", known_exploited=True)))
    assert decision.reasons == (
        "1 vulnerability is known to be exploited (CVE-2026-1 (low) in openssl 1.0, without a fix)",
    )
    assert decide(rule, facts=facts(finding(severity="critical"))).outcome == ALLOWED


def test_without_data_on_exploits_it_is_not_known_what_is_exploited() -> None:
    rule = policy(scan={"blockKnownExploited": True})
    decision = decide(rule, facts=facts(data=("Debian=1",)))
    assert decision.reasons == ("it is not known which vulnerabilities it has: there is no data on exploits",)


@pytest.mark.parametrize(
    ("exploited", "truncated", "reasons"),
    [
        (0, 300, ()),
        (-1, 0, ()),
        (-1, 1, ("1 vulnerability is not listed, and may be exploited: it is to be scanned again",)),
        (1, 300, ("1 vulnerability is known to be exploited (not listed)",)),
    ],
)
def test_exploited_ones_are_counted_where_they_are_not_listed(
    exploited: int, truncated: int, reasons: tuple[str, ...]
) -> None:
    given = facts(finding(severity="low"), exploited=exploited, truncated=truncated)
    assert decide(policy(scan={"blockKnownExploited": True}), facts=given).reasons == reasons


def test_allowed_ones_are_not_counted_as_exploited() -> None:
    allowed = [{"id": "CVE-2026-1", "until": "2026-12-31", "reason": "not reachable"}]
    rule = policy(scan={"blockKnownExploited": True, "allowedCves": allowed})
    given = facts(finding(known_exploited=True), exploited=1, truncated=1)
    assert decide(rule, facts=given).outcome == ALLOWED
    assert decide(rule, facts=replace(given, exploited=2)).outcome == DENIED


@pytest.mark.parametrize(("age", "outcome"), [(timedelta(days=7), ALLOWED), (timedelta(days=7) + SECOND, DENIED)])
def test_a_scan_is_not_older_than_its_maximum(age: timedelta, outcome: str) -> None:
    decision = decide(policy(scan={"maxAge": "7d"}), facts=facts(at=NOW - age))
    assert decision.outcome == outcome
    assert decision.reasons in ((), ("it was last scanned 7 days ago, more than 7d",))


def test_an_sbom_is_attached() -> None:
    decision = decide(policy(scan={"sbom": "required"}), facts=facts(sbom=""))
    assert decision.reasons == ("it has no SBOM",)
