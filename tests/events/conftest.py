"""Fixtures of the tests of events."""

import pytest

from lading_storage.protocols import MetadataStore
from lading_storage.stores import Stores
from tests.support.fake_clock import FakeClock


@pytest.fixture
def outbox(stores: Stores) -> MetadataStore:
    """The metadata store, which holds the outbox."""
    return stores.metadata


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still."""
    return FakeClock()
