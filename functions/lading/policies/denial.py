"""Denial: the line by which a client is told that it may not pull an image, and why."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from lading.policies.evidence import AUDITED, DENIED, Decision
from lading.quantity import counted

MAX_LINE: Final = 300
"""Characters of the line: clients print it as it is, and some cut what is longer."""

MIN_REASON: Final = 120
"""Characters that are kept for the reason where a reference is long."""

CUT: Final = "..."
"""Ends a reason that is cut: the header Warning has ASCII only."""

PUSH_FIRST: Final = "push it under another tag, and set this one once it passes"
"""Advice about an image that is not in the registry, since its push was refused: nothing can be asked about it."""


def denial_line(decisions: Sequence[Decision], reference: str, advice: str | None = None) -> str:
    """Return `policy NAME: WHY; ask: lading why REFERENCE`, one printable line of at most MAX_LINE characters.

    A reason is whole, or only counted, so that no id of a vulnerability is cut.

    Args:
        decisions: of all policies; at least one refuses.
        reference: as a user would give it: REPOSITORY:TAG or REPOSITORY@DIGEST.
        advice: what to do, at the end, or "" for nothing; by default to ask why.
    """
    refusing = [each for each in decisions if each.refuses]
    others = "" if len(refusing) == 1 else f" (and {counted(len(refusing) - 1, 'more policy')})"
    end = f"{others}; ask: lading why {reference}" if advice is None else f"{others}; {advice}" if advice else others
    if len(end) > MAX_LINE - MIN_REASON:
        end = f"{others}; ask: lading why"
    reasons = [printable(each) for each in refusing[0].reasons]
    return _why(f"policy {refusing[0].policy}: ", reasons, MAX_LINE - len(end)) + printable(end)


def audit_line(decisions: Sequence[Decision], reference: str, advice: str | None = None) -> str:
    """Return the line that policies which only audit would refuse with, as denial_line does; "" if none would."""
    audited = [replace(each, outcome=DENIED) for each in decisions if each.outcome == AUDITED]
    return denial_line(audited, reference, advice) if audited else ""


def _why(begin: str, reasons: Sequence[str], room: int) -> str:
    """Return as many whole reasons as there is room for, and the number of others; at least a part of the first."""
    for shown in range(len(reasons), 0, -1):
        rest = len(reasons) - shown
        text = begin + "; ".join(reasons[:shown]) + (f"; and {counted(rest, 'more reason')}" if rest else "")
        if len(text) <= room:
            return text
    return f"{begin}{reasons[0] if reasons else ''}"[: room - len(CUT)] + CUT


def denial_detail(decisions: Sequence[Decision]) -> dict[str, object]:
    """Return the details of the error DENIED: all reasons of each policy that refuses."""
    return {
        "policies": [
            {"policy": each.policy, "reasons": [*map(printable, (*each.reasons, *each.findings))]}
            for each in decisions
            if each.refuses
        ]
    }


def printable(text: str) -> str:
    """Return a text with `?` for what is not printable: names of packages are what an image says."""
    return "".join(character if character.isprintable() else "?" for character in text)
