"""The `lading` command."""

import argparse
import sys
from collections.abc import Sequence
from typing import Final

from functions import settings
from functions.commands import (
    access,
    backup,
    cleanup,
    deleted,
    doctor,
    du,
    gc,
    history,
    init,
    keys,
    robots,
    running,
    scrub,
    serve,
    users,
    vacuum,
)
from functions.commands.options import Command, CommandError, given
from functions.settings import SettingsError
from storage.errors import StorageError

COMMANDS: Final = (
    serve,
    init,
    history,
    deleted,
    cleanup,
    running,
    du,
    gc,
    scrub,
    vacuum,
    backup,
    users,
    robots,
    keys,
    access,
    doctor,
)
"""In the order in which the help names them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit status: 0, or 1 with one line on standard error."""
    parsed = _parser().parse_args(arguments)
    try:
        command: Command = parsed.command
        command(parsed, settings.read(options=given(parsed)))
    except (SettingsError, StorageError, CommandError) as error:
        print(f"lading: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lading", description="A container registry that costs nothing while nobody uses it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_to(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
