"""Denial: the line by which a client is told that it may not pull an image, and why."""

from collections.abc import Sequence
from typing import Final

from lading.policies.evidence import Decision

MAX_LINE: Final = 300
"""Characters of the line: clients print it as it is, and some cut what is longer."""

MIN_REASON: Final = 120
"""Characters that are kept for the reason where a reference is long."""


def denial_line(decisions: Sequence[Decision], reference: str) -> str:
    """Return `policy NAME: WHY; ask: lading why REFERENCE`, one printable line of at most MAX_LINE characters.

    Args:
        decisions: of all policies; at least one refuses.
        reference: as a user would give it: REPOSITORY:TAG or REPOSITORY@DIGEST.
    """
    refusing = [each for each in decisions if each.refuses]
    others = "" if len(refusing) == 1 else f" (and {len(refusing) - 1} more)"
    advice = f"{others}; ask: lading why {reference}"
    if len(advice) > MAX_LINE - MIN_REASON:
        advice = f"{others}; ask: lading why"
    why = printable(f"policy {refusing[0].policy}: {'; '.join(refusing[0].reasons)}")
    room = MAX_LINE - len(advice)
    return f"{why if len(why) <= room else f'{why[: room - 1]}…'}{printable(advice)}"


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
