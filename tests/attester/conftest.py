"""Fixtures: a registry whose policies a test decides, its attester, and the attestor in a fake Google."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lading.registry.registry import Registry
from tests.attester.attester_server import AttesterServer, Judged, serving_attester
from tests.support.auth_fixtures import iam, world
from tests.support.binary_authorization import add_attestor
from tests.support.fake_iam_world import FakeIamWorld

__all__ = ["iam", "world"]


@pytest.fixture
def judged(registry: Registry) -> Judged:
    """The decisions about the images of `registry`."""
    registry.judge = Judged()
    return registry.judge


@pytest.fixture(params=[False, True], ids=["refused", "duplicated"])
def duplicates(request: pytest.FixtureRequest) -> bool:
    """Whether Google makes a second occurrence of the same image, which is not documented."""
    return bool(request.param)


@pytest.fixture
def served(
    registry: Registry, judged: Judged, world: FakeIamWorld, duplicates: bool, tmp_path: Path
) -> Iterator[AttesterServer]:
    token = add_attestor(world, duplicates=duplicates)
    with serving_attester(world, registry, token, tmp_path / "keys") as server:
        yield server
