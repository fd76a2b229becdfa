"""What commands share: options made of the settings, and how a command is added."""

import argparse
from collections.abc import Callable, Iterable
from typing import Any

from functions.settings import SETTINGS, Setting, Settings

Command = Callable[[argparse.Namespace, Settings], None]
Commands = Any
"""What argparse's add_subparsers gives; its type is private."""

STORES = ("data", "blobs", "metadata")
ACCESS = ("data", "metadata", "access", "public", "folders", "users", "grants", "keys", "url")


class CommandError(Exception):
    """A command that cannot be done as it was given; the message says why."""


def add(commands: Commands, name: str, help: str, command: Command, options: Iterable[str]) -> argparse.ArgumentParser:
    """Add a command with some of the settings as its options; answers its parser, for more."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(command=command)
    chosen = frozenset(options)
    for setting in SETTINGS:
        if setting.option in chosen:
            _add_setting(parser, setting)
    return parser


def add_group(commands: Commands, name: str, help: str) -> Commands:
    """Add a command that is made of commands."""
    return commands.add_parser(name, help=help, description=help).add_subparsers(required=True, metavar="COMMAND")


def given(parsed: argparse.Namespace) -> dict[str, str | None]:
    """The settings that were given as options."""
    return {setting.option: getattr(parsed, setting.option.replace("-", "_"), None) for setting in SETTINGS}


def _add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    default = f"; default {setting.default}" if setting.default else ""
    text = f"{setting.help} ({setting.variable}{default})"
    parser.add_argument(f"--{setting.option}", metavar=setting.value, help=text.replace("%", "%%"))
