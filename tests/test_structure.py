"""Modules of tests hold only tests, and each folder of tests says what is in it."""

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))


def imported_test_modules(path: Path) -> list[str]:
    """Return the modules of tests and fixtures that a module imports from."""
    return [
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
        if node.module.rpartition(".")[2].startswith(("test_", "conftest"))
    ]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_of_tests_hold_only_tests(path: Path) -> None:
    """What tests share has a module of its own: in the folder, or in tests/support."""
    assert imported_test_modules(path) == []


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in TESTS if path.name == "__init__.py"), ids=lambda folder: folder.name
)
def test_each_folder_says_what_is_in_it(folder: Path) -> None:
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
