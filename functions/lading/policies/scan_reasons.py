"""Why the scan of an image does not fulfil a requirement.

The counts of the facts decide, since they are complete. The listed findings say which of them a policy allows: a
finding that is counted and not listed never is.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from lading.policies.evidence import Evidence, Reason
from lading.policies.findings import SEVERITIES, UNKNOWN, Group, ListedFinding, counts_of, listed_findings
from lading.policies.policy import NONE, ScanRequirement
from lading.policies.texts import about, duration_text, listed
from lading.quantity import counted

if TYPE_CHECKING:
    from lading_storage.records.scans import Facts

BOUNDS: Final = (*(each for each in SEVERITIES if each != UNKNOWN), NONE)
"""What the worst severity may be."""

WAITING: Final = "waiting"
DONE: Final = "done"
PARTIAL: Final = "partial"
"""States of facts, as lading.scanning.findings has them."""

STATES: Final = {
    WAITING: "it is not scanned yet",
    "unsupported": "its packages cannot be read",
    "failed": "it could not be scanned",
}

NO_FACTS: Final = "it is not scanned"
"""Of an image that is just pushed, or was pushed while images were not scanned, and of what is no image."""

EXPLOITS: Final = "exploits"
SIGNED: Final = "signed"
"""Names of data beside that of ecosystems, as lading.scanning.findings has them: on exploits, and signed documents."""

VULNERABILITY: Final = "vulnerability"


MAX_FINDINGS: Final = 20
"""Findings of a reason that are listed."""


def scan_reasons(requirement: ScanRequirement, evidence: Evidence) -> Iterator[Reason]:
    """Yield why the scan of an image does not fulfil a requirement. Raises NotJudged if its facts make no sense."""
    facts = evidence.facts
    if facts is None:
        yield Reason(NO_FACTS)
        return
    if facts.state not in (DONE, PARTIAL):
        because = f": {facts.reason}" if facts.reason else ""
        yield Reason(f"{STATES.get(facts.state, f'its scan is {facts.state}')}{because}")
        return
    if requirement.sbom and not facts.sbom:
        yield Reason("it has no SBOM")
    yield from map(Reason, _age_failures(requirement, facts, evidence.now))
    forbidden = _forbidden_severities(requirement)
    if not any(forbidden.values()) and not requirement.block_known_exploited:
        return
    if gaps := _gaps(requirement, facts):
        yield Reason(f"it is not known which vulnerabilities it has: {listed(gaps, 'and')}")
        return
    yield from _finding_failures(requirement, facts, evidence.now)


def _age_failures(requirement: ScanRequirement, facts: "Facts", now: datetime) -> Iterator[str]:
    if requirement.max_age is None:
        return
    if facts.at is None:
        yield "when it was scanned is not known"
    elif now - facts.at > requirement.max_age:
        yield f"it was last scanned {about(now - facts.at)} ago, more than {duration_text(requirement.max_age)}"


def _gaps(requirement: ScanRequirement, facts: "Facts") -> tuple[str, ...]:
    """Return what is not known of an image's vulnerabilities, a clause each."""
    data = {each.partition("=")[0] for each in facts.data}
    gaps = [*facts.notes, *(f"there is no vulnerability data of {each}" for each in facts.missing)]
    if facts.state != DONE and not gaps:
        gaps.append("it was scanned in part")
    if not data - {EXPLOITS, SIGNED}:
        gaps.append("its packages were compared with no data")
    if requirement.block_known_exploited and EXPLOITS not in data:
        gaps.append("there is no data on exploits")
    return tuple(gaps)


def _forbidden_severities(requirement: ScanRequirement) -> dict[bool, frozenset[str]]:
    """Return the severities that are worse than the maximum: of findings with a fix (True), and of the others."""
    maximums = {True: requirement.maximum_fixable, False: requirement.maximum_unfixable}
    return {is_fixable: _worse_than(maximum) for is_fixable, maximum in maximums.items()}


def _worse_than(maximum: str) -> frozenset[str]:
    if not maximum or maximum == SEVERITIES[0]:
        return frozenset()
    return frozenset(SEVERITIES if maximum == NONE else SEVERITIES[: SEVERITIES.index(maximum)])


def _is_forbidden(group: Group, forbidden: dict[bool, frozenset[str]]) -> bool:
    """Return whether findings of a group are too severe. A severity of a newer release is."""
    severities = forbidden[group.fixable]
    return bool(severities) and (group.severity in severities or group.severity not in SEVERITIES)


def _finding_failures(requirement: ScanRequirement, facts: "Facts", now: datetime) -> Iterator[Reason]:
    """Yield a reason for findings with a fix, one for those without, and one for those that are exploited."""
    forbidden = _forbidden_severities(requirement)
    counts = {group: count for group, count in counts_of(facts).items() if _is_forbidden(group, forbidden)}
    if not any(counts.values()) and not requirement.block_known_exploited:
        # Nothing else of the facts is read: that is most of the pulls of images that pass.
        return
    allowed = frozenset(each.id for each in requirement.allowed_cves if now < each.until)
    findings = listed_findings(facts)
    refused = [each for each in findings if not each.is_one_of(allowed)]
    for is_fixable, maximum in ((True, requirement.maximum_fixable), (False, requirement.maximum_unfixable)):
        own = [each for each in refused if each.group.fixable == is_fixable and _is_forbidden(each.group, forbidden)]
        groups = {*(each.group for each in own), *(each for each in counts if each.fixable == is_fixable)}
        if number := sum(_refused(each, counts, findings, refused) for each in groups):
            kind = "with a fix" if is_fixable else "without a fix"
            limit = "not allowed" if maximum == NONE else f"worse than {maximum}"
            yield _reason(f"{counted(number, VULNERABILITY)} {kind} {_are(number)} {limit}", own)
    if requirement.block_known_exploited:
        yield from _exploited_failures(facts, findings, refused)


def _refused(
    group: Group, counts: Mapping[Group, int], findings: Sequence[ListedFinding], refused: Sequence[ListedFinding]
) -> int:
    """Return how many findings of a group are refused: those that are counted, but for those listed and allowed."""
    refused_count = sum(each.group == group for each in refused)
    allowed_count = sum(each.group == group for each in findings) - refused_count
    return max(counts.get(group, 0) - allowed_count, refused_count)


def _exploited_failures(
    facts: "Facts", findings: Sequence[ListedFinding], refused: Sequence[ListedFinding]
) -> Iterator[Reason]:
    exploited = [each for each in refused if each.known_exploited]
    allowed_count = sum(each.known_exploited for each in findings) - len(exploited)
    if number := max(facts.exploited - allowed_count, len(exploited)):
        yield _reason(f"{counted(number, VULNERABILITY)} {_are(number)} known to be exploited", exploited)
    elif facts.exploited < 0 and facts.truncated:
        unlisted = counted(facts.truncated, VULNERABILITY)
        yield Reason(f"{unlisted} {_are(facts.truncated)} not listed, and may be exploited: it is to be scanned again")


def _reason(text: str, findings: Sequence[ListedFinding]) -> Reason:
    worst = f" ({findings[0].text})" if findings else " (not listed)"
    return Reason(f"{text}{worst}", tuple(each.text for each in findings[:MAX_FINDINGS]))


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
