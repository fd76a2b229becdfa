"""What `pip install .` installs."""

import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

from functions.version import PACKAGES, source_version
from tests.needs import missing

ROOT = Path(__file__).parents[1]


def test_an_upgrade_in_place_installs_no_module_of_the_release_before(tmp_path: Path) -> None:
    """`git pull && pip install .`: the folder `build` is still there, and `lading doctor` compares all modules."""
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", tmp_path)
    # Of pyproject.toml only what older releases of setuptools understand as well.
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    (tmp_path / "pyproject.toml").write_text(
        f"[project]\nname = 'lading'\nversion = '1'\n[tool.setuptools.packages.find]\ninclude = {packages}\n"
    )
    if find_spec("setuptools") is None:
        missing("setuptools, as pip installs it")
    gone = tmp_path / "build" / "lib" / "functions" / "gone.py"
    gone.parent.mkdir(parents=True)
    gone.write_text("")

    build = [sys.executable, "setup.py", "-q", "build"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=300)

    assert not gone.exists()
    assert source_version(tmp_path / "build" / "lib") == source_version(tmp_path)
