"""Fixture: Terraform with its providers."""

import subprocess
from pathlib import Path

import pytest

from tests.support.requirements import find_program, skip_or_fail
from tests.terraform.terraform_cli import Terraform


@pytest.fixture(scope="session")
def terraform() -> Terraform:
    """The program, and the providers, which the first run on a machine builds."""
    found = find_program("terraform", "go install github.com/hashicorp/terraform@v1.11.4")
    find_program("go", "https://go.dev")
    build = Path(__file__).parent / "providers" / "build"
    built = subprocess.run([build], capture_output=True, text=True, timeout=1800, check=False)
    if built.returncode:
        skip_or_fail(f"the providers cannot be built:\n{built.stderr}")
    return Terraform(found, Path(built.stdout.strip()))
