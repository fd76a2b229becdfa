"""Findings of a scan as the facts about an image have them: counts of all, and a list of the worst.

lading.scanning is not imported: a gated pull reads these.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lading.policies.evidence import NotJudged

if TYPE_CHECKING:
    from lading_storage.records.scans import Facts

UNKNOWN: Final = "unknown"
SEVERITIES: Final = ("critical", "high", "medium", UNKNOWN, "low", "negligible")
"""As lading.scanning.findings has them: the worst first, and what has no severity not last."""

MAX_PARSED: Final = 64
"""Images whose findings are cached, of 256 KiB at most each."""


class Group(NamedTuple):
    """Findings that are counted together: of one severity, with a fix or without."""

    severity: str
    fixable: bool


@dataclass(frozen=True, slots=True)
class ListedFinding:
    """Finding that facts list, as lading.scanning.documents.scan_document.Vulnerability is encoded.

    Attributes:
        ids: of its record, and other ids that are no CVEs.
        cves: ids of the same vulnerability.
        covers: ids of the vulnerabilities that an advisory is about, if these are several.
        group: its severity, and whether there is a fix.
        text: what it is, for people.
        known_exploited: whether it is known to be exploited.
    """

    ids: frozenset[str]
    cves: frozenset[str]
    covers: frozenset[str]
    group: Group
    text: str
    known_exploited: bool

    def is_one_of(self, ids: frozenset[str]) -> bool:
        """Return whether ids name this vulnerability: all of its CVEs, if it has or covers several."""
        if not ids:
            return False
        is_covered = any(each and each <= ids for each in (self.cves, self.covers))
        return is_covered or not ids.isdisjoint(self.ids)


def counts_of(facts: "Facts") -> Mapping[Group, int]:
    """Return how many findings there are that are not suppressed. Raises NotJudged."""
    try:
        values = json.loads(facts.counts)
        return {
            Group(severity, is_fixable): int(count)
            for severity, pair in values.items()
            for is_fixable, count in zip((True, False), pair, strict=True)
        }
    except (ValueError, TypeError, AttributeError):
        raise NotJudged("the counts of its vulnerabilities cannot be read") from None


def listed_findings(facts: "Facts") -> Sequence[ListedFinding]:
    """Return the findings that facts list and that are not suppressed, the worst first. Raises NotJudged."""
    return _parsed(facts.content or b"[]")


@lru_cache(MAX_PARSED)
def _parsed(content: bytes) -> tuple[ListedFinding, ...]:
    """Parse findings. Of 100 that takes 0.4 ms, and nodes pull the same images at the same time."""
    try:
        found = [_finding(each) for each in json.loads(content) if not each.get("suppressed")]
        return tuple(sorted(found, key=lambda finding: severity_order(finding.group.severity)))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise NotJudged("its vulnerabilities cannot be read") from None


def severity_order(severity: str) -> int:
    """Return a sort key: the worst first, and a severity of a newer release before it."""
    return SEVERITIES.index(severity) if severity in SEVERITIES else -1


def _finding(value: Mapping[str, Any]) -> ListedFinding:
    id, fixed, severity = str(value["id"]), str(value.get("fixed", "")), str(value["severity"])
    aliases = frozenset(map(str, value.get("aliases", ())))
    cves = frozenset(each for each in (id, *aliases) if each.startswith("CVE-"))
    package = " ".join(filter(None, (str(value["package"]), str(value.get("version", "")))))
    name = id if len(cves) != 1 else next(iter(cves))
    fix = f"fixed in {fixed}" if fixed else "without a fix"
    return ListedFinding(
        ids=frozenset({id, *(aliases - cves)}),
        cves=cves,
        covers=frozenset(map(str, value.get("covers", ()))),
        group=Group(severity, bool(fixed)),
        text=f"{name} ({severity}) in {package}, {fix}",
        known_exploited=bool(value.get("known_exploited", False)),
    )
