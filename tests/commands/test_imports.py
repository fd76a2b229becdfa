"""Commands without the packages of extras: each module can be imported, so that `lading --version` works."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]

IMPORT_ALL: Final = """
import importlib, pkgutil, sys, traceback

class Missing:
    names = frozenset(sys.argv[1].split(","))

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import lading.commands
for each in pkgutil.iter_modules(lading.commands.__path__):
    for module in [name for name in sys.modules if name.partition(".")[0] in ("lading", "lading_storage")]:
        del sys.modules[module]
    try:
        importlib.import_module(f"lading.commands.{each.name}")
    except ImportError as error:
        frame = [frame for frame in traceback.extract_tb(error.__traceback__) if "/lading" in frame.filename][-1]
        print(f"lading.commands.{each.name}: {frame.filename}:{frame.lineno}: {frame.line}")
"""


def distributions(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", each)[0].lower().replace("_", "-") for each in requirements}


def optional_packages() -> set[str]:
    """Import packages that only extras install."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = distributions(project["dependencies"])
    extras = {name: each for name, each in project["optional-dependencies"].items() if name != "test"}
    only = {found for each in extras.values() for found in distributions(each)} - base
    return {
        package
        for package, names in packages_distributions().items()
        if {each.lower().replace("_", "-") for each in names} <= only and package.isidentifier()
    }


def failures(packages: set[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, ",".join(sorted(packages))],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout


def test_each_command_can_be_imported_without_the_packages_of_extras() -> None:
    packages = optional_packages()
    assert {"cvss", "cyclonedx", "packageurl", "univers", "prometheus_client"} <= packages

    assert failures(packages) == ""


def test_an_import_that_breaks_is_named() -> None:
    found = failures({"argparse"})

    assert re.search(r"^lading\.commands\.scan: .*\.py:\d+: import argparse$", found, re.MULTILINE)
