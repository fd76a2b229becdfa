"""Files hold one subject and fit a few screens; modules of tests hold only tests."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
SOURCES: Final = sorted(path for name in ("functions", "storage", "emulators") for path in (ROOT / name).rglob("*.py"))
MAX_FILE: Final = 350
MAX_FUNCTION: Final = 40
"""Lines."""

each_source = pytest.mark.parametrize("path", [*SOURCES, *TESTS], ids=lambda path: str(path.relative_to(ROOT)))


def too_long(text: str) -> Iterator[str]:
    """Yield what is above its limit: the file, and functions."""
    if (lines := len(text.splitlines())) > MAX_FILE:
        yield f"{lines} lines"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and (size := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION:
            yield f"{node.name}: {size} lines"


def imported_test_modules(path: Path) -> list[str]:
    """Return the modules of tests and fixtures that a module imports from."""
    return [
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tests.")
        if node.module.rpartition(".")[2].startswith(("test_", "conftest"))
    ]


@each_source
def test_files_and_functions_are_short(path: Path) -> None:
    assert list(too_long(path.read_text())) == []


def test_what_is_too_long_is_found() -> None:
    assert list(too_long("x = 1\n" * MAX_FILE)) == []
    assert list(too_long("x = 1\n" * (MAX_FILE + 1))) == ["351 lines"]
    assert list(too_long("def f():\n" + "    x = 1\n" * MAX_FUNCTION)) == ["f: 41 lines"]


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_of_tests_hold_only_tests(path: Path) -> None:
    """What tests share has a module of its own: in the folder, or in tests/support."""
    assert imported_test_modules(path) == []


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in TESTS if path.name == "__init__.py"), ids=lambda folder: folder.name
)
def test_each_folder_says_what_is_in_it(folder: Path) -> None:
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
