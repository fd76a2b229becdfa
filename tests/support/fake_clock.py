"""A clock that a test turns."""

from datetime import UTC, datetime, timedelta


class FakeClock:
    """Stands still until it is turned."""

    __test__ = False

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 1, 12, tzinfo=UTC)

    def __call__(self, store_time: datetime | None = None) -> datetime:
        return self.time

    def advance(self, **by: float) -> datetime:
        """Go forward by a timedelta's words; return the time."""
        self.time += timedelta(**by)
        return self.time


class TickingClock(FakeClock):
    """Goes on by a microsecond each time that it is read, as a machine's does, so that no two changes are at one."""

    def __call__(self, store_time: datetime | None = None) -> datetime:
        return self.advance(microseconds=1)
