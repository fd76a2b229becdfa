"""Imports go one way: entry → app → routes → api → surface → registry → storage; no layer looks up or goes around."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

GOOGLE_AND_HTTP = ("google", "grpc", "requests", "flask", "werkzeug", "granian", "functions_framework")

ENTRIES = (
    "lading.server",
    "lading.cli",
    "main",
    "lading.scheduled",
    "lading.publish_function",
    "lading.scan_function",
    "lading.attest_function",
    "lading.function_call",
    "lading.job_table",
)
COMPOSITIONS = (
    "lading.composition",
    "lading.auth_composition",
    "lading.publisher_composition",
    "lading.scan_composition",
    "lading.webhook_composition",
)
FROM_COMPOSITION = (*COMPOSITIONS, *ENTRIES)
FROM_APP = ("lading.app", *FROM_COMPOSITION)
FROM_ROUTES = ("lading.routes", *FROM_APP)

MAY_NOT_IMPORT = {
    "storage": ("lading", "werkzeug", "flask", "granian", "functions_framework"),
    "functions/lading/scanner": (
        "lading.api",
        "lading.auth",
        "lading.commands",
        "lading.surface",
        "lading.settings",
        "lading_storage",
        *FROM_ROUTES,
    ),
    "functions/lading/scan_composition.py": ("lading.app", "lading.composition", *ENTRIES),
    "functions/lading/registry": ("lading.api", "lading.auth", "lading.events", "lading.jobs", *FROM_ROUTES),
    "functions/lading/http": (
        "lading.api",
        "lading.audit",
        "lading.auth",
        "lading.logs",
        "lading.surface",
        *FROM_ROUTES,
    ),
    "functions/lading/surface": (
        "lading.api",
        "lading.events",
        "lading.jobs",
        "lading.commands",
        "google",
        *FROM_ROUTES,
    ),
    "functions/lading/api": ("lading.events", "lading.jobs", "google", *FROM_ROUTES),
    "functions/lading/auth": ("lading.api", "lading.commands", "lading.jobs", "lading.settings", *FROM_ROUTES),
    "functions/lading/events": ("lading.api", "lading.commands", "lading.http", "lading.surface", *FROM_ROUTES),
    "functions/lading/commands": ("lading.cli", "main", "lading.api", "lading.routes"),
    "functions/lading/client": ("lading.api", "lading.commands", "lading.http", "lading.jobs", *FROM_ROUTES),
    "functions/lading/signatures": (
        "lading.api",
        "lading.auth",
        "lading.events",
        "lading.http",
        "lading.jobs",
        "lading.policies",
        "lading.registry",
        "lading.scanning",
        "lading.settings",
        "lading.surface",
        "lading.vulnerabilities",
        "lading_storage",
        "socket",
        *GOOGLE_AND_HTTP,
        *FROM_ROUTES,
    ),
    "functions/lading/vulnerabilities": (
        "lading.api",
        "lading.auth",
        "lading.events",
        "lading.http",
        "lading.jobs",
        "lading.registry",
        "lading.settings",
        "lading.surface",
        "lading_storage",
        *FROM_ROUTES,
    ),
    "functions/lading/scanning": (
        "lading.api",
        "lading.events",
        "lading.http",
        "lading.jobs",
        "lading.registry",
        "lading.settings",
        "lading.surface",
        "lading_storage",
        *GOOGLE_AND_HTTP,
        *FROM_ROUTES,
    ),
    "functions/lading/jobs": ("lading.api", *FROM_ROUTES),
    "functions/lading/logs.py": ("lading.api", "lading.registry", *FROM_ROUTES),
    "functions/lading/audit.py": ("lading.api", "lading.auth", "lading_storage", *FROM_ROUTES),
    "functions/lading/http/origin.py": ("lading.api", "lading.auth", "lading.registry", "lading_storage", *FROM_ROUTES),
    "functions/lading/http/client_address.py": (
        "lading.api",
        "lading.auth",
        "lading.registry",
        "lading_storage",
        *FROM_ROUTES,
    ),
    "functions/lading/routes.py": ("lading_storage", "lading.dispatcher", *FROM_APP),
    "functions/lading/dispatcher.py": ("lading.api", *FROM_ROUTES),
    "functions/lading/app.py": ("lading.api", *FROM_COMPOSITION),
    "functions/lading/composition.py": ENTRIES,
    "functions/lading/webhook_composition.py": ("lading.app", "lading.composition", *ENTRIES),
    "functions/lading/addresses.py": ("lading.registry", "lading.events", *FROM_APP),
    "functions/lading/outbound.py": ("lading.registry", "lading.events", *FROM_APP),
    "functions/lading/publisher_composition.py": ("lading.app", "lading.auth_composition", *ENTRIES),
    "functions/lading/auth_composition.py": ("lading.app", "lading.composition", *ENTRIES),
    "functions/lading/settings.py": ("lading.registry", "lading.api", "lading_storage", *FROM_APP),
    "emulators": ("lading", "lading_storage"),
}

MAY_IMPORT = {"functions/lading/api": ("lading.events.cloud_event",)}
"""Exceptions: readers get events in the format in which they are published."""

DRIVERS = (
    "lading_storage.local.filesystem",
    "lading_storage.local.filesystem_bulk",
    "lading_storage.local.sqlite",
    "lading_storage.local.sqlite_backup",
    "lading_storage.local.sqlite_read_only",
    "lading_storage.google.gcs",
    "lading_storage.google.firestore",
)
MAY_NAME_DRIVERS = {"functions/lading/composition.py", "functions/lading/jobs/backup/folder.py"}


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
        if is_below(name, MAY_NOT_IMPORT[place]) and not is_below(name, MAY_IMPORT.get(place, ()))
    }
    assert wrong == set()


def imported_modules() -> dict[str, set[str]]:
    """Return the modules that each module imports, of both source roots."""
    paths = {
        ".".join(path.relative_to(ROOT / root).with_suffix("").parts).removesuffix(".__init__"): path
        for root in ("functions", "storage")
        for path in files_of(root)
    }
    return {
        # A module may import the packages that it is in.
        name: {each for each in imports_of(path) & paths.keys() if not name.startswith(f"{each}.")} - {name}
        for name, path in paths.items()
    }


def by_package(imported: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return the same of packages. A module beside packages stands for itself, such as lading.registry.errors."""
    parents = {name.rpartition(".")[0] for name in imported}
    mixed = {parent.rpartition(".")[0] for parent in parents}

    def package_of(name: str) -> str:
        parent = name.rpartition(".")[0]
        return name if name in parents or parent in mixed else parent

    graph: dict[str, set[str]] = {}
    for name, others in imported.items():
        graph.setdefault(package_of(name), set()).update(package_of(other) for other in others)
    return {package: others - {package} for package, others in graph.items()}


def test_no_module_imports_itself_by_others() -> None:
    TopologicalSorter(imported_modules()).prepare()


def test_no_package_imports_itself_by_others() -> None:
    graph = by_package(imported_modules())

    assert {"lading.registry.content", "lading.registry.errors", "lading.http", "lading_storage.google"} <= graph.keys()
    TopologicalSorter(graph).prepare()


def test_a_cycle_of_packages_is_found() -> None:
    graph = by_package({"a": set(), "a.b": set(), "a.b.x": {"a.c.x"}, "a.b.y": set(), "a.c": set(), "a.c.x": {"a.b.y"}})

    assert graph == {"a": set(), "a.b": {"a.c"}, "a.c": {"a.b"}}


def test_outbound_alone_connects_for_others() -> None:
    """Whatever connects to the URL of a user does so at an address that was checked."""
    clients = ("http.client", "requests", "socket", "urllib.request", "urllib3")
    wrong = {
        f"{path.name}: {name}"
        for path in files_of("functions/lading/events")
        for name in imports_of(path)
        if is_below(name, clients) and path.name != "pubsub.py"
    }
    assert wrong == set()


def test_the_rules_know_neither_http_nor_google() -> None:
    wrong = {
        f"{path.name}: {name}"
        for path in files_of("functions/lading/registry")
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
