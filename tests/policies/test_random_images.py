"""Random scans and policies, against a slow model that decides by the list of all findings."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from lading.policies.evidence import ALLOWED
from tests.policies.examples import counts_of, decide, facts, finding, policy

SEVERITIES: Final = ("critical", "high", "medium", "unknown", "low", "negligible")
BOUNDS: Final = ("critical", "high", "medium", "low", "negligible", "none")
IDS: Final = tuple(f"CVE-2026-{number}" for number in range(1, 6))

FINDINGS: Final = st.lists(
    st.builds(
        finding,
        id=st.sampled_from(IDS),
        severity=st.sampled_from(SEVERITIES),
        fixed=st.sampled_from(["", "2.0"]),
        known_exploited=st.booleans(),
        suppressed=st.sampled_from(["", "", "not affected"]),
    ),
    max_size=8,
)

SCANS: Final = st.fixed_dictionaries(
    {"blockKnownExploited": st.booleans()},
    optional={
        "maximumFixableSeverity": st.sampled_from(BOUNDS),
        "maximumUnfixableSeverity": st.sampled_from(BOUNDS),
    },
)


def passes(scan: Mapping[str, Any], allowed: Sequence[str], findings: Sequence[Mapping[str, Any]]) -> bool:
    """The model: each finding by itself, of a list of all."""
    for each in findings:
        if each["suppressed"] or each["id"] in allowed:
            continue
        maximum = scan.get("maximumFixableSeverity" if each["fixed"] else "maximumUnfixableSeverity", "critical")
        ranks = [*SEVERITIES, "none"]
        if ranks.index(each["severity"]) < ranks.index(maximum):
            return False
        if scan["blockKnownExploited"] and each["known_exploited"]:
            return False
    return True


@given(SCANS, st.lists(st.sampled_from(IDS), max_size=3, unique=True), FINDINGS, st.integers(0, 8))
@settings(max_examples=400, deadline=None, derandomize=True)
def test_a_scan_passes_as_the_model_says(
    scan: dict[str, Any], allowed: list[str], findings: list[dict[str, Any]], listed: int
) -> None:
    words = {key: value for key, value in scan.items() if value is not False} | {"required": True}
    if allowed and len(words) > 1:
        words["allowedCves"] = [{"id": each, "until": "2027-01-31", "reason": "x"} for each in allowed]
    worst = sorted(findings, key=lambda each: SEVERITIES.index(each["severity"]))
    exploited = sum(each["known_exploited"] and not each["suppressed"] for each in findings)
    whole = facts(*worst, exploited=exploited)
    rule = policy(scan=words)

    assert (decide(rule, facts=whole).outcome == ALLOWED) == passes(scan, allowed, findings)

    # A list that is cut never allows what the whole one does not; without exceptions, the counts alone decide.
    cut = facts(*worst[:listed], counts=counts_of(findings), exploited=exploited, truncated=max(len(worst) - listed, 0))
    cut_passes = decide(rule, facts=cut).outcome == ALLOWED
    assert not cut_passes or passes(scan, allowed, findings)
    if "allowedCves" not in words:
        assert cut_passes == passes(scan, allowed, findings)
    unknown = decide(rule, facts=replace(cut, exploited=-1)).outcome == ALLOWED
    assert not unknown or passes(scan, allowed, findings)
    assert json.loads(cut.counts) == counts_of(findings)
