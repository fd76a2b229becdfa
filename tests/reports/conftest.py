"""Fixtures: a client of an app over stores that only this test uses."""

import pytest

from lading.registry.registry import Registry
from tests.support.app_client import Client, make_client


@pytest.fixture
def client(registry: Registry) -> Client:
    return make_client(registry)
