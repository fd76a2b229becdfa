"""Who did what, and when."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

MAX_CLOCK_SKEW: Final = timedelta(minutes=1)
"""How far this machine's clock may be ahead of the metadata store's before it is not believed."""

log = logging.getLogger("lading")


class Clock(Protocol):
    """What time it is, with its zone; `store_time` is the metadata store's own time, where it has just told it."""

    def __call__(self, store_time: datetime | None = None) -> datetime: ...  # noqa: D102


class MachineClock:
    """The clock of this machine, without what it is ahead of the metadata store's.

    The store tells its time with a read; what the difference was then counts until the next one, or until the clock is
    set back: nobody knows by how much, and it is believed again. A clock that is behind, or ahead by less than
    MAX_CLOCK_SKEW, is believed.
    """

    def __init__(self, machine: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Go by `machine`."""
        self._machine = machine
        self._ahead = timedelta(0)
        self._latest = datetime.min.replace(tzinfo=UTC)

    def __call__(self, store_time: datetime | None = None) -> datetime:
        """Return the time: see Clock."""
        time = self._machine()
        if self._latest - time > MAX_CLOCK_SKEW:
            self._ahead = timedelta(0)
        self._latest = time
        if store_time is not None:
            self._compare(time - store_time)
        return time - self._ahead

    def _compare(self, ahead: timedelta) -> None:
        if ahead <= MAX_CLOCK_SKEW:
            self._ahead = timedelta(0)
            return
        if not self._ahead:
            log.warning("this machine's clock is %s ahead of the metadata store's: its time is not used", ahead)
        self._ahead = ahead


now: Final = MachineClock()
"""The clock of this process, which has one metadata store."""


class ChangeContext(NamedTuple):
    """One change that somebody asks for, as the history of tags remembers it.

    action   in a word: push, delete, rollback, restore, clean-up
    by       who asks, where the credentials name somebody, else ""
    request  the id of the request, or ""
    """

    action: str
    actor: str = ""
    request_id: str = ""


PUSH: Final = ChangeContext("push")
DELETE: Final = ChangeContext("delete")
ROLLBACK: Final = ChangeContext("rollback")
RESTORE: Final = ChangeContext("restore")
