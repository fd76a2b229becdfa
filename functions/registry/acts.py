"""Who did what, and when."""

import logging
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

MAX_CLOCK_SKEW: Final = timedelta(minutes=1)
"""How far this machine's clock may be ahead of the metadata store's before it is not believed."""

log = logging.getLogger("lading")


class Clock(Protocol):
    """What time it is, with its zone; `store_time` is the metadata store's own time, where it has just told it."""

    def __call__(self, store_time: datetime | None = None) -> datetime: ...  # noqa: D102


def now(store_time: datetime | None = None) -> datetime:
    """Return the time by this machine's clock, or `store_time`, with a warning, where that clock is far ahead of it."""
    time = datetime.now(UTC)
    if store_time is not None and time - store_time > MAX_CLOCK_SKEW:
        log.warning("this machine's clock is %s ahead of the metadata store's: its time is not used", time - store_time)
        return store_time
    return time


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
