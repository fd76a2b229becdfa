"""The context of a change: its action, its actor, and the clock that dates it."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

MAX_CLOCK_SKEW: Final = timedelta(minutes=1)
"""Maximum by which the machine's clock may be ahead of the metadata store's before it is corrected."""

log = logging.getLogger("lading")


class Clock(Protocol):
    """Return the current time, with its time zone; `store_time` is the metadata store's, if a read just returned it."""

    def __call__(self, store_time: datetime | None = None) -> datetime: ...  # noqa: D102


class MachineClock:
    """Machine clock, corrected by how far it is ahead of the metadata store's clock.

    A read returns the store's time. The difference that it shows is applied until the next read, or until the machine's
    clock is set back: by how much is unknown, so the correction is dropped. A clock that is late, or ahead by at most
    MAX_CLOCK_SKEW, is not corrected.
    """

    def __init__(self, machine: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Take the time from `machine`."""
        self._machine = machine
        self._ahead = timedelta(0)
        self._latest = datetime.min.replace(tzinfo=UTC)

    def __call__(self, store_time: datetime | None = None) -> datetime:
        """Return the current time. See Clock."""
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
            log.warning("this machine's clock is %s ahead of the metadata store's: its time is corrected", ahead)
        self._ahead = ahead


now: Final = MachineClock()
"""Clock of this process, which uses one metadata store."""


class ChangeContext(NamedTuple):
    """Context of a change, as recorded in the history of tags and in events.

    action      one word: push, delete, rollback, restore, clean-up; purge, pull and scan, which only events have
    actor       the principal that the credentials name, or ""
    request_id  the id of the request, or ""
    is_own      whether the registry itself makes the change, which no policy refuses; no request can say so
    warnings    collects, by the tag or "" for the manifest, what policies would refuse that only audit; None for a
                change that reports nothing
    """

    action: str
    actor: str = ""
    request_id: str = ""
    is_own: bool = False
    warnings: dict[str, str] | None = None

    def warn(self, tag: str, line: str) -> None:
        """Keep what policies say about a tag, or "" for the manifest, in the place of what an earlier attempt said."""
        if self.warnings is not None:
            self.warnings.pop(tag, None)
            if line:
                self.warnings[tag] = line


PULL: Final = ChangeContext("pull")
"""A pull changes nothing, but what policies decide about it can be an event."""

PUSH: Final = ChangeContext("push")
DELETE: Final = ChangeContext("delete")
ROLLBACK: Final = ChangeContext("rollback")
RESTORE: Final = ChangeContext("restore")
PURGE: Final = ChangeContext("purge")
BREAK_GLASS: Final = ChangeContext("break-glass")
