"""The module and its examples: in order, and valid by the real provider's schema."""

import re
from pathlib import Path

import pytest

from tests.terraform import docs
from tests.terraform.terraform_cli import ROOT, Terraform, checkout

EXAMPLES = sorted(path.name for path in (ROOT / "terraform" / "examples").iterdir())


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository."""
    return checkout(tmp_path_factory.mktemp("module"))


def test_everything_is_formatted(terraform: Terraform, source: Path) -> None:
    terraform.run(source, "fmt", "-check", "-recursive", "-diff")


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_are_valid(terraform: Terraform, source: Path, example: str) -> None:
    folder = terraform.init(source / "terraform" / "examples" / example)
    assert "The configuration is valid" in terraform.run(folder, "validate", "-no-color").stdout


def test_the_module_plans_what_it_says(terraform: Terraform, source: Path) -> None:
    folder = terraform.init(source / "terraform")
    assert "The configuration is valid" in terraform.run(folder, "validate", "-no-color").stdout
    done = terraform.run(folder, "test", "-no-color", fails=True)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = sum(len(re.findall(r'^run "', file.read_text(), re.MULTILINE)) for file in (folder / "tests").iterdir())
    assert f"Success! {runs} passed, 0 failed." in done.stdout


def test_the_tables_of_its_readme_are_those_of_the_module() -> None:
    assert (ROOT / "terraform" / "README.md").read_text().endswith("\n" + docs.tables())


def test_each_file_is_told_of_in_its_readme() -> None:
    told = re.findall(r"`(\w+\.tf)`", (ROOT / "terraform" / "README.md").read_text())
    files = {path.name for path in (ROOT / "terraform").glob("*.tf")}
    assert set(told) == files - {"variables.tf", "outputs.tf", "versions.tf"}
