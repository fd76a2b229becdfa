"""Who did what, and when."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

Clock = Callable[[], datetime]
"""What time it is, with its zone."""


def now() -> datetime:
    """The time by this machine's clock."""
    return datetime.now(UTC)


class Act(NamedTuple):
    """One change that somebody asks for, as the history of tags remembers it.

    action   in a word: push, delete, rollback, restore, clean-up
    by       who asks, where the credentials name somebody, else ""
    request  the id of the request, or ""
    """

    action: str
    by: str = ""
    request: str = ""


PUSH: Final = Act("push")
DELETE: Final = Act("delete")
ROLLBACK: Final = Act("rollback")
RESTORE: Final = Act("restore")
