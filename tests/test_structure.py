"""Files hold one subject and fit a few screens; modules of tests hold only tests."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
TESTS: Final = sorted((ROOT / "tests").rglob("*.py"))
SOURCES: Final = sorted(
    path for name in ("functions", "storage", "emulators", "terraform") for path in (ROOT / name).rglob("*.py")
)
MAX_FILE: Final = 350
MAX_FUNCTION: Final = 40
"""Lines."""


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


def test_files_and_functions_are_short() -> None:
    wrong = {str(path.relative_to(ROOT)): list(too_long(path.read_text())) for path in (*SOURCES, *TESTS)}
    assert {path: found for path, found in wrong.items() if found} == {}


def test_what_is_too_long_is_found() -> None:
    assert list(too_long("x = 1\n" * MAX_FILE)) == []
    assert list(too_long("x = 1\n" * (MAX_FILE + 1))) == ["351 lines"]
    assert list(too_long("def f():\n" + "    x = 1\n" * MAX_FUNCTION)) == ["f: 41 lines"]


def test_modules_of_tests_hold_only_tests() -> None:
    """What tests share has a module of its own: in the folder, or in tests/support."""
    wrong = {str(path.relative_to(ROOT)): imported_test_modules(path) for path in TESTS}
    assert {path: found for path, found in wrong.items() if found} == {}


def test_each_folder_says_what_is_in_it() -> None:
    packages = [path for path in TESTS if path.name == "__init__.py"]
    assert [str(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []
