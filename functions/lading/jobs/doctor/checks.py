"""Checks of a deployment. Each makes a small real call, and returns what it found, or what is wrong and the remedy."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class CheckState(Enum):
    """Outcome of a check."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


class CheckFailed(Exception):
    """A problem; `remedy` says how to fix it."""

    def __init__(self, problem: object, remedy: str) -> None:
        super().__init__(str(problem))
        self.remedy = remedy


class CheckSkipped(Exception):
    """The check does not apply, or cannot run; the message says why."""


class Check(NamedTuple):
    """A check: its name, and the function that runs it and returns what it found.

    The function raises CheckFailed or CheckSkipped.
    """

    name: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of one check.

    Attributes:
        name: the check's name.
        state: its outcome.
        detail: what it found, or why it was skipped.
        remedy: how to fix the problem, or "" where there is none.
    """

    name: str
    state: CheckState
    detail: str
    remedy: str = ""


def run_checks(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run checks one after the other, and yield their results."""
    for check in checks:
        try:
            yield Finding(check.name, CheckState.OK, check.run())
        except CheckSkipped as reason:
            yield Finding(check.name, CheckState.SKIPPED, str(reason))
        except CheckFailed as failure:
            yield Finding(check.name, CheckState.FAILED, str(failure), failure.remedy)
