"""Fixtures: a client of an app over stores that only this test uses."""

import pytest

from lading.registry.registry import Registry
from tests.api.client import Client, client_of


@pytest.fixture
def client(registry: Registry) -> Client:
    return client_of(registry)
