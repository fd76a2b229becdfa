"""What `pip install .` installs."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from lading.version import source_version, version_of
from tests.support.requirements import skip_or_fail

ROOT = Path(__file__).parents[1]


def test_an_upgrade_in_place_installs_no_module_of_the_release_before(tmp_path: Path) -> None:
    """`git pull && pip install .`: the folder `build` is still there, and `lading doctor` compares all modules."""
    for name in ("functions", "storage"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.py", tmp_path)
    # Of pyproject.toml only what older releases of setuptools understand as well.
    setuptools = (ROOT / "pyproject.toml").read_text().split("[tool.setuptools.", 1)[1].split("[tool.ruff]")[0]
    (tmp_path / "pyproject.toml").write_text(
        f"[project]\nname = 'lading-registry'\nversion = '1'\n[tool.setuptools.{setuptools}"
    )
    if find_spec("setuptools") is None:
        skip_or_fail("setuptools, as pip installs it")
    gone = tmp_path / "build" / "lib" / "lading" / "gone.py"
    gone.parent.mkdir(parents=True)
    gone.write_text("")

    build = [sys.executable, "setup.py", "-q", "build"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True, timeout=300)

    assert not gone.exists()
    built = tmp_path / "build" / "lib"
    assert version_of(built / "lading", built / "lading_storage") == source_version()
