"""Imports go one way: entry → app → routes → api → registry → storage. Nobody looks up, and nobody goes around."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

GOOGLE_AND_HTTP = ("google", "grpc", "requests", "flask", "werkzeug", "granian", "functions_framework")

ENTRIES = ("functions.serve", "functions.cli", "functions.main", "functions.scheduled")
FROM_COMPOSITION = ("functions.composition", *ENTRIES)
FROM_APP = ("functions.app", *FROM_COMPOSITION)
FROM_ROUTES = ("functions.routes", *FROM_APP)

MAY_NOT_IMPORT = {
    "storage": ("functions", "werkzeug", "flask", "granian", "functions_framework"),
    "functions/registry": ("functions.api", "functions.auth", "functions.jobs", *FROM_ROUTES),
    "functions/api": ("functions.jobs", "google", *FROM_ROUTES),
    "functions/auth": ("functions.api", "functions.commands", "functions.jobs", "functions.settings", *FROM_ROUTES),
    "functions/commands": ("functions.cli", "functions.main", "functions.api", "functions.routes"),
    "functions/jobs": ("functions.api", *FROM_ROUTES),
    "functions/logs.py": ("functions.api", "functions.registry", *FROM_ROUTES),
    "functions/audit.py": ("functions.api", "functions.auth", "storage", *FROM_ROUTES),
    "functions/origin.py": ("functions.api", "functions.auth", "functions.registry", "storage", *FROM_ROUTES),
    "functions/client_address.py": ("functions.api", "functions.auth", "functions.registry", "storage", *FROM_ROUTES),
    "functions/routes.py": ("storage", *FROM_APP),
    "functions/app.py": FROM_COMPOSITION,
    "functions/composition.py": ENTRIES,
    "functions/settings.py": ("functions.registry", "functions.api", "storage", *FROM_APP),
    "emulators": ("functions", "storage"),
}

DRIVERS = (
    "storage.filesystem",
    "storage.filesystem_bulk",
    "storage.sqlite",
    "storage.sqlite_backup",
    "storage.sqlite_read_only",
    "storage.gcs",
    "storage.firestore",
)
MAY_NAME_DRIVERS = {"functions/composition.py", "functions/jobs/backup/folder.py"}


def imports_of(path: Path) -> set[str]:
    """The full names of all modules that a file imports, in functions and under TYPE_CHECKING too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files_of(place: str) -> list[Path]:
    path = ROOT / place
    files = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
    assert files, f"{place} is empty"
    return files


def is_below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("place", MAY_NOT_IMPORT)
def test_no_layer_looks_up(place: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files_of(place)
        for name in imports_of(path)
        if is_below(name, MAY_NOT_IMPORT[place])
    }
    assert wrong == set()


def test_the_rules_know_neither_http_nor_google() -> None:
    wrong = {
        f"{path.name}: {name}"
        for path in files_of("functions/registry")
        for name in imports_of(path)
        if is_below(name, GOOGLE_AND_HTTP)
    }
    assert wrong == set()


def test_only_the_composition_root_chooses_drivers() -> None:
    wrong = {
        str(path.relative_to(ROOT))
        for path in files_of("functions")
        if any(is_below(name, DRIVERS) for name in imports_of(path))
    }
    assert wrong == MAY_NAME_DRIVERS
