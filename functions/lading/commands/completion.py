"""`lading completion`: print a script with which a shell completes commands and options."""

import argparse
from typing import Final

from lading.commands.options import CommandError, Commands, add
from lading.settings import Settings

SHELLS: Final = ("bash", "zsh", "tcsh")

EXTRA: Final = "pip install 'lading-registry[completion]'"

HELP: Final = 'print a script that completes commands and options in a shell, such as: eval "$(lading completion bash)"'


def add_to(commands: Commands) -> None:
    """Add the command."""
    completion = add(commands, "completion", HELP, _print, ())
    completion.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))


def _print(parsed: argparse.Namespace, settings: Settings) -> None:
    try:
        import shtab
    except ImportError:
        raise CommandError(f"shell completion needs the package shtab: {EXTRA}") from None
    # The parser of all commands, which the entry point has put there.
    print(shtab.complete(parsed.parser, parsed.shell))
