"""Each call that makes trust stale has a test that fails without it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LADING: Final = ROOT / "functions" / "lading"
NAME: Final = "stale_writes("

COPIED: Final = ("docs", "emulators", "functions", "storage", "terraform", "tests", "pyproject.toml")


def _calls() -> list[tuple[str, int]]:
    """Return the module and the line of each call, but for the function's own module."""
    return [
        (str(path.relative_to(ROOT)), number)
        for path in sorted(LADING.rglob("*.py"))
        if path.name != "trust_records.py"
        for number, line in enumerate(path.read_text().splitlines())
        if NAME in line
    ]


CALLS: Final = _calls()


def test_the_calls_are_those_of_the_decision() -> None:
    """A further one needs a test as well, and counts in docs/decisions/007."""
    assert len(CALLS) == 10
    assert "any one of the ten calls" in (ROOT / "docs/decisions/007-signatures-and-gates.md").read_text()


@pytest.mark.skipif(os.environ.get("LADING_NIGHTLY") != "1", reason="nightly only: LADING_NIGHTLY=1")
@pytest.mark.parametrize(("module", "number"), [("", 0), *CALLS])
def test_a_test_fails_without_the_call(module: str, number: int, tmp_path: Path) -> None:
    """And none while all of them are there."""
    for each in COPIED:
        copy = shutil.copytree if (ROOT / each).is_dir() else shutil.copy
        copy(ROOT / each, tmp_path / each)
    if module:
        lines = (tmp_path / module).read_text().splitlines()
        lines[number] = lines[number].replace(NAME, "(lambda *_: [])(")
        (tmp_path / module).write_text("\n".join(lines))
    words = ["-q", "-n0", "-x", "-p", "no:cacheprovider", "tests/trust/test_seams.py", "-k", "not google"]
    path = os.pathsep.join(str(tmp_path / each) for each in ("functions", "storage"))

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "LADING_NIGHTLY": "0"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == (1 if module else 0), done.stdout[-1000:]
