"""What cannot be taken back, or deletes much, is confirmed: on a terminal by an answer, elsewhere by --yes."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from lading.registry.errors import RegistryError
from lading.registry.registry import Registry
from tests.support.registry_pushes import push_image
from tests.support.server_process import SOURCE_ROOTS, run_lading

POLICIES = '[{"name": "all", "action": {"type": "Delete"}, "condition": {"tagState": "any"}}]'
ASKED = [
    ["delete", "team/app"],
    ["delete", "--for-good", "team/app:v1"],
    ["delete", "--for-good", "team/app"],
    ["cleanup", "apply", "--cleanup", POLICIES],
]
NOT_ASKED = [["delete", "team/app:v1"]]


def tags(registry: Registry) -> list[str]:
    """Return the tags of the repository, none where it is gone."""
    try:
        return list(registry.tags.names("team/app", "", 10).items)
    except RegistryError:
        return []


def on_terminal(words: Sequence[str], folder: Path, answer: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run the command with a terminal, on which a user responds; return its status and what it showed there."""
    ours, theirs = pty.openpty()
    os.write(ours, f"{answer}\n".encode())
    done = subprocess.run(
        [sys.executable, "-m", "lading.cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": SOURCE_ROOTS, **environment},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    os.close(theirs)
    os.close(ours)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_without_a_terminal_it_takes_yes(
    registry: Registry, environment: Mapping[str, str], tmp_path: Path, words: list[str]
) -> None:
    push_image(registry, "team/app", "v1")

    refused = run_lading(words, tmp_path, environment)

    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("lading: Delete ")
    assert refused.stderr.endswith("Nothing was changed; use --yes where standard input is no terminal\n")
    assert tags(registry) == ["v1"]
    assert run_lading([*words, "--yes"], tmp_path, environment).returncode == 0
    assert tags(registry) == []


@pytest.mark.parametrize("words", ASKED, ids=" ".join)
def test_on_a_terminal_it_asks(
    registry: Registry, environment: Mapping[str, str], tmp_path: Path, words: list[str]
) -> None:
    push_image(registry, "team/app", "v1")

    for answer in ("", "n", "nonsense"):
        status, shown = on_terminal(words, tmp_path, answer, environment)
        assert status == 1, shown
        assert "[y/N] lading: nothing was changed" in shown
        assert tags(registry) == ["v1"]
    status, shown = on_terminal(words, tmp_path, "y", environment)
    assert status == 0, shown
    assert tags(registry) == []


@pytest.mark.parametrize("words", NOT_ASKED, ids=" ".join)
def test_what_can_be_restored_at_once_is_not_asked(
    registry: Registry, environment: Mapping[str, str], tmp_path: Path, words: list[str]
) -> None:
    push_image(registry, "team/app", "v1")

    assert run_lading(words, tmp_path, environment).returncode == 0
    assert tags(registry) == []
