"""Parsers of commands: one that has a module's name is parsed, and started, without the modules of the others."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from lading import cli


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands of a parser, by name."""
    choices = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: each for all_of_group in choices for name, each in all_of_group.items()}


def helps(parser: argparse.ArgumentParser) -> list[str]:
    """What a command and those below it print as help."""
    return [parser.format_help(), *(text for each in commands(parser).values() for text in helps(each))]


def test_a_command_alone_is_that_among_all() -> None:
    among_all = commands(cli._parser())
    for name in (module.replace("_", "-") for module in cli.NAMED):
        alone = commands(cli._parser(cli._groups_of([name, "more"])))
        assert helps(alone[name]) == helps(among_all[name])


@pytest.mark.parametrize("words", ["", "--help", "rollback", "access", "in_use", "completion", "options", "nothing"])
def test_other_words_are_looked_for_among_all(words: str) -> None:
    assert cli._groups_of(words.split()) is cli.GROUPS


def test_a_command_imports_none_of_the_others(tmp_path: Path) -> None:
    script = "import sys; from lading import cli; cli.main(['ls', '--data', 'none']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)

    imported = {name.removeprefix("lading.commands.") for name in done.stdout.split()}
    assert "no registry" in done.stderr
    assert imported & {module for modules in cli.GROUPS.values() for module in modules} == {"ls"}
