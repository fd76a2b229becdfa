"""Fixtures: a clock that goes on with each reading."""

import pytest

from tests.support.fake_clock import FakeClock, TickingClock


@pytest.fixture
def clock() -> FakeClock:
    return TickingClock()
