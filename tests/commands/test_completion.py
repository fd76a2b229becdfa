"""`lading completion`: a script with which a shell completes commands and options."""

import shutil
import subprocess
import sys

import pytest

from lading import cli
from tests.support.requirements import skip_or_fail

COMPLETE = """
COMP_WORDS=({words}) COMP_CWORD={position} COMP_LINE="{words}" COMP_POINT=${{#COMP_LINE}}
_shtab_lading
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(script: str, *words: str) -> list[str]:
    """Return what bash offers for the last of some words."""
    bash = shutil.which("bash") or ""
    if not bash:
        skip_or_fail("bash")
    text = script + COMPLETE.format(words=" ".join(words), position=len(words) - 1)
    done = subprocess.run([bash, "--norc"], input=text, capture_output=True, text=True, check=True)
    return str(done.stdout).split()


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["completion", "bash"]) == 0
    return capsys.readouterr().out


def test_bash_completes_commands_and_options(script: str) -> None:
    assert completed(script, "lading", "sh") == ["show"]
    assert completed(script, "lading", "cleanup", "a") == ["apply"]
    assert completed(script, "lading", "show", "--wi") == ["--wide"]


@pytest.mark.parametrize("shell", ["zsh", "tcsh"])
def test_other_shells_have_scripts(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert "explain-access" in capsys.readouterr().out


def test_without_the_package_the_error_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)

    assert cli.main(["completion", "bash"]) == 1

    assert "pip install 'lading-registry[completion]'" in capsys.readouterr().err
