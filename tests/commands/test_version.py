"""`lading --version`, `python -m lading` and `lading.__version__`."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import lading
from emulators import source
from lading import cli
from lading.version import source_version

ROOT = Path(__file__).parents[2]


def run(folder: Path, *words: str) -> str:
    """Run Python without this environment's distributions, in a folder that holds the functions' archive."""
    command = [sys.executable, "-S", *words]
    done = subprocess.run(command, cwd=folder, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_version_is_that_of_the_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(vars(lading), "__version__", raising=False)
    monkeypatch.setattr(metadata, "version", {"lading-registry": "9.8.7"}.__getitem__)

    assert lading.__version__ == "9.8.7"

    del vars(lading)["__version__"]


def test_other_attributes_are_unknown() -> None:
    with pytest.raises(AttributeError, match="no attribute 'version_'"):
        _ = lading.version_  # type: ignore[attr-defined]


def test_the_archive_of_a_function_has_a_version_without_a_distribution(tmp_path: Path) -> None:
    for name, content in source.files("registry").items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    assert run(tmp_path, "-c", "import lading; print(lading.__version__)") == f"0+{source_version()}\n"
    assert run(tmp_path, "-m", "lading", "--version") == f"lading 0+{source_version()} (sources {source_version()})\n"


def test_the_command_prints_its_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])

    assert ended.value.code == 0
    assert capsys.readouterr().out == f"lading {lading.__version__} (sources {source_version()})\n"
