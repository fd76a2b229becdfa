"""What a test needs of the machine: where it is missing the test is skipped, but fails where CI=true."""

import os
import shutil
from pathlib import Path

import pytest


def skip_or_fail(reason: str) -> None:
    """Skip this test, or fail it in CI, where nothing may be missing."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have it: {reason}")
    pytest.skip(reason)


def find_program(name: str, install_hint: str) -> str:
    """The path of a program; `install_hint` tells how to install it."""
    path = shutil.which(name) or shutil.which(name, path=f"{Path.home() / 'go' / 'bin'}:/usr/sbin")
    if path is None:
        skip_or_fail(f"needs {name}: {install_hint}")
    assert path is not None
    return path
