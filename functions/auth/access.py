"""What a caller may do to a repository."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Action(Enum):
    """What a request does to a repository. Deleting is a right of its own."""

    NOTHING = "nothing"
    """It concerns no one repository; what it answers is what the caller may see."""
    PULL = "pull"
    PUSH = "push"
    DELETE = "delete"


class Caller(Protocol):
    """Whoever sent a request."""

    @property
    def principal(self) -> str:
        """The name for logs and records, or "" where the credentials name nobody."""
        ...

    def may(self, action: Action, repository: str) -> bool:
        """Whether the caller may do this to the repository of that name."""
        ...


Admission = Callable[[str], Caller]
"""Answers who sent a request with this Authorization header ("" for none); raises UNAUTHORIZED for a bad one."""


@dataclass(frozen=True, slots=True)
class Everybody:
    """The caller of a registry that is open to everybody: nobody in particular, who may do everything."""

    principal: str = ""

    def may(self, action: Action, repository: str) -> bool:
        """Yes."""
        return True


def admit_everybody(authorization: str) -> Caller:
    """The Admission of a registry that is open to everybody."""
    return Everybody()
