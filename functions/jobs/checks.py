"""Checks of a deployment: each a small real call, which says what it found, or what is wrong and what mends it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple


class State(Enum):
    """How a check ended."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


class Failed(Exception):
    """Something is wrong; `mend` says what to do about it."""

    def __init__(self, what: object, mend: str) -> None:
        super().__init__(str(what))
        self.mend = mend


class Skipped(Exception):
    """There is nothing to check; the message says why."""


class Check(NamedTuple):
    """A check: its name, and what does it and says what it found. It raises Failed or Skipped."""

    name: str
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check ended, what was found, and what mends it ("" where nothing needs to be)."""

    name: str
    state: State
    what: str
    mend: str = ""


def examine(checks: Iterable[Check]) -> Iterator[Finding]:
    """Run the checks, one after the other."""
    for check in checks:
        try:
            yield Finding(check.name, State.OK, check.run())
        except Skipped as why:
            yield Finding(check.name, State.SKIPPED, str(why))
        except Failed as failed:
            yield Finding(check.name, State.FAILED, str(failed), failed.mend)
