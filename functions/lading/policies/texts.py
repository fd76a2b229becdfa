"""Texts of policies for people: lists of names, numbers of things, and durations."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from lading.quantity import counted

UNITS: Final = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
"""Units of a duration, the longest first."""

NAMES: Final = ("day", "hour", "minute", "second")

MAX_LISTED: Final = 5
"""Names in a list; of others only the number is given."""


def duration_text(duration: timedelta) -> str:
    """Return a duration of whole seconds as a policy has it: 7d, 12h, 30m or 45s."""
    unit, size = next((each for each in UNITS.items() if duration and not duration % each[1]), ("s", UNITS["s"]))
    return f"{duration // size}{unit}"


def about(duration: timedelta) -> str:
    """Return a duration in its largest unit, rounded down: `9 days`, `1 hour`."""
    for name, size in zip(NAMES, UNITS.values(), strict=True):
        if duration >= size:
            return counted(duration // size, name)
    return "less than a second"


def listed(names: Sequence[str], conjunction: str) -> str:
    """Return names as a list: `a, b or c`, and the number of those that are left out."""
    shown = [*names[:MAX_LISTED]]
    if len(names) > MAX_LISTED:
        shown.append(f"{len(names) - MAX_LISTED} others")
    return f" {conjunction} ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
