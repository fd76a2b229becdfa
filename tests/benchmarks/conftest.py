"""Fixtures: real clients."""

from pathlib import Path

import pytest

from tests.clients.commands import Commands


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Runs programs with a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return Commands(home)
