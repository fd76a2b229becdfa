"""Fixtures: real clients."""

from pathlib import Path

import pytest

from tests.support.client_commands import ProgramRunner


@pytest.fixture
def commands(tmp_path: Path) -> ProgramRunner:
    """Runs programs with a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return ProgramRunner(home)
