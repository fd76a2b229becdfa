"""What `pip install .` installs."""

import shutil
import subprocess
import sys
import tarfile
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
    write_project(tmp_path)
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


def test_the_sdist_is_whole(tmp_path: Path) -> None:
    """What builds, tests, documents and deploys Lading, in the repository and so in the sdist."""
    if find_spec("setuptools") is None:
        skip_or_fail("setuptools, as pip installs it")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / "source" / name)
    write_project(tmp_path / "source")

    build = [sys.executable, "setup.py", "-q", "sdist", "--formats=tar", "--dist-dir", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path / "source", check=True, capture_output=True, timeout=300)

    with tarfile.open(next(tmp_path.glob("*.tar"))) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in listed if name not in packed} <= {".gitignore", ".github/workflows/release.yml"}


def write_project(folder: Path) -> None:
    """Write of pyproject.toml only what older releases of setuptools understand as well."""
    setuptools = (ROOT / "pyproject.toml").read_text().split("[tool.setuptools.", 1)[1].split("[tool.ruff]")[0]
    (folder / "pyproject.toml").write_text(
        f"[project]\nname = 'lading-registry'\nversion = '1'\n[tool.setuptools.{setuptools}"
    )
