"""Merging of the findings of one package, so that each vulnerability counts once.

GitHub, PyPA and Go each have a record of the same vulnerability, with the others as aliases. Distributions have a
record of each vulnerability and one of each advisory, which is about several.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lading.scanning.findings import SEVERITIES, UNKNOWN, Finding


def merge(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return a finding for each vulnerability of a package.

    Those that share an id or an alias are one; it has the severity of the worst of them and the ids of all. An advisory
    is left out if all that it covers are findings of their own.
    """
    merged = [_merged(group) for group in _groups(findings)]
    known = {id for each in merged for id in (each.id, *each.aliases)}
    return [each for each in merged if not each.covers or not known.issuperset(each.covers)]


def _groups(findings: Iterable[Finding]) -> Iterable[Sequence[Finding]]:
    """Return the findings that share ids, directly or through others."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        ids = {finding.id, *finding.aliases}
        found = {id(groups[each]): groups[each] for each in sorted(ids) if each in groups}
        group = [each for members in found.values() for each in members] + [finding]
        for member in group:
            groups.update(dict.fromkeys((member.id, *member.aliases), group))
    return {id(group): group for group in groups.values()}.values()


def _merged(group: Sequence[Finding]) -> Finding:
    """Return one finding for several of the same vulnerability."""
    first, *others = sorted(group, key=_order)
    if not others:
        return first
    ids = {id for each in group for id in (each.id, *each.aliases)} - {first.id}
    return replace(
        first,
        aliases=tuple(sorted(ids)),
        covers=tuple(sorted({id for each in group for id in each.covers})),
        fixed=next((each.fixed for each in (first, *others) if each.fixed), ""),
        summary=next((each.summary for each in (first, *others) if each.summary), ""),
        uncertain=first.uncertain if all(each.uncertain for each in group) else "",
    )


def _order(finding: Finding) -> tuple[bool, bool, int, float, str]:
    """Order findings, the one to show first: certain, rated, the worst, by id."""
    severity = finding.severity
    return bool(finding.uncertain), severity == UNKNOWN, SEVERITIES.index(severity), -(finding.score or 0), finding.id
