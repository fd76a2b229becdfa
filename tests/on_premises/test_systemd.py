"""The systemd units: systemd accepts them, they are confined, and they run what the page says."""

import configparser
import subprocess
from pathlib import Path
from typing import Final

import pytest

from lading.cli import _parser
from tests.support.on_premises_files import UNITS
from tests.support.requirements import find_program

PROGRAM: Final = "/opt/lading/bin/lading"
MAX_EXPOSURE: Final = {"lading.service": 20, "lading-backup.service": 60, "lading-scrub.service": 60}
"""Tenths, as `systemd-analyze security --threshold` takes them; a service without any restriction has 96."""


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units, with a program that this machine has."""
    for path in UNITS.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace(PROGRAM, "/bin/true"))
    return tmp_path


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = find_program("systemd-analyze", "apt install systemd")
    return subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)


def test_systemd_accepts_the_units(units: Path) -> None:
    done = analyze("verify", "--man=no", *sorted(units.iterdir()))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    (units / "lading.service").write_text("[Service]\nExecStart=/bin/true\nRestrat=on-failure\n")
    assert "Restrat" in analyze("verify", "--man=no", units / "lading.service").stderr


@pytest.mark.parametrize("name", MAX_EXPOSURE)
def test_the_services_are_confined(name: str, units: Path) -> None:
    done = analyze("security", "--offline=yes", f"--threshold={MAX_EXPOSURE[name]}", units / name)
    assert done.returncode == 0, done.stdout[-200:]


def test_the_services_run_commands_that_there_are() -> None:
    services = sorted(UNITS.glob("*.service"))
    assert {path.name for path in services} == MAX_EXPOSURE.keys()
    for path in services:
        unit = configparser.ConfigParser(strict=False, interpolation=None)
        unit.optionxform = str  # type: ignore[assignment]  # as configparser's documentation has it
        unit.read_string(path.read_text())
        program, *words = unit["Service"]["ExecStart"].split()
        assert program == PROGRAM
        _parser().parse_args(words)
        assert unit["Service"]["Environment"] == "LADING_CONFIG=/etc/lading/lading.toml"


def test_each_timer_has_its_service() -> None:
    timers = {path.stem for path in UNITS.glob("*.timer")}
    assert timers == {"lading-backup", "lading-scrub"}
    assert timers <= {path.stem for path in UNITS.glob("*.service")}
