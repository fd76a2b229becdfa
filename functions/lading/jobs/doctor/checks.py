"""Checks of a deployment: each a small real call, which says what it found, or what is wrong and what mends it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class CheckState(Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


class CheckFailed(Exception):
    """Something is wrong; `mend` says what to do about it."""

    def __init__(self, what: object, remedy: str) -> None:
        super().__init__(str(what))
        self.remedy = remedy


class CheckSkipped(Exception):
    """There is nothing to check; the message says why."""


class Check(NamedTuple):
    """A check: its name, and what does it and says what it found. It raises Failed or Skipped."""

    name: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check ended, what was found, and what mends it ("" where nothing needs to be)."""

    name: str
    state: CheckState
    detail: str
    remedy: str = ""


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run the checks, one after the other."""
    for check in checks:
        try:
            yield Finding(check.name, CheckState.OK, check.run())
        except CheckSkipped as why:
            yield Finding(check.name, CheckState.SKIPPED, str(why))
        except CheckFailed as failed:
            yield Finding(check.name, CheckState.FAILED, str(failed), failed.remedy)
