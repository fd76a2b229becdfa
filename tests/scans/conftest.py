"""Fixtures: a registry that scans images, its clock, and data about one vulnerability."""

import pytest

from lading.registry.registry import Registry
from lading_storage.stores import Stores
from tests.scans.scan_runs import FakeData
from tests.support.auth_fixtures import iam, world
from tests.support.fake_clock import FakeClock, TickingClock
from tests.support.osv_dumps import MakeDatabases, vulnerable
from tests.support.osv_fixtures import databases_of

__all__ = ["databases_of", "iam", "world"]


@pytest.fixture
def clock() -> FakeClock:
    return TickingClock()


@pytest.fixture
def registry(stores: Stores, clock: FakeClock) -> Registry:
    return Registry(stores.blobs, stores.metadata, clock=clock, scans_images=True)


@pytest.fixture
def data(databases_of: MakeDatabases) -> FakeData:
    return FakeData(databases_of(vulnerable("GHSA-1", "npm", "left-pad", "1.1.0")))
