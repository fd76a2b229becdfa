"""What the tests of clients share."""

import secrets
from pathlib import Path

import pytest

from tests.clients.commands import Commands
from tests.clients.layouts import Layout, write_image


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """Runs programs with a home of their own."""
    home = tmp_path / "home"
    home.mkdir()
    return Commands(home)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """An image of three layers, of which one is of some megabytes and one is empty, as an OCI layout tagged `v1`."""
    return write_image(tmp_path / "layout", [b"small" * 100, secrets.token_bytes(7_000_001), b""])
