"""Fixtures for jobs between two registries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lading_storage.stores import Stores
from tests.support.folder_stores import folder_stores


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Stores]:
    """Stores of another registry, empty."""
    opened = folder_stores(tmp_path / "other")
    yield opened
    opened.close()
