"""Fixtures: an image of the repository that policies name."""

import pytest

from lading.registry.registry import Registry
from lading_storage.records.core import Manifest
from tests.support.policies import REPOSITORY
from tests.support.registry_pushes import push_image


@pytest.fixture
def image(registry: Registry) -> Manifest:
    return push_image(registry, REPOSITORY, "v1")
