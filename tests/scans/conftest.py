"""Fixtures: a registry that scans images, and its clock."""

import pytest

from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.support.auth_fixtures import iam, world
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.osv_fixtures import databases_of

__all__ = ["databases_of"]

__all__ = ["iam", "world"]


@pytest.fixture
def clock() -> FakeClock:
    return TickingClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)
