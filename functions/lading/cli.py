"""The `lading` command."""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Final, NoReturn

from lading import settings
from lading.commands import exit_status
from lading.commands.options import Command, CommandError, Parser, given_options
from lading.settings import SettingsError
from lading.terminal_text import escape_lines
from lading_storage.errors import StorageError

SERVE: Final = "serve"

GROUPS: Final[Mapping[str, Sequence[str]]] = {
    "serve": (SERVE, "init", "config"),
    "images and tags": ("ls", "show", "tag", "history", "deleted", "du"),
    "vulnerabilities": ("scan", "scan_missing", "vulnerabilities"),
    "rules": ("rules", "policy", "why"),
    "events": ("events", "webhooks"),
    "clean-up and garbage": ("cleanup", "in_use", "gc", "vacuum"),
    "checks and backup": ("ready", "doctor", "upgrade_check", "scrub", "backup"),
    "access": ("access", "users", "robots", "keys"),
    "shell": ("completion",),
}
"""Modules of lading.commands, as the help groups their commands."""

NAMED: Final = frozenset(module for modules in GROUPS.values() for module in modules) - {"access", "completion"}
"""Modules with a command of their name, which needs no other module. `completion` needs all of them."""

TRACEBACK: Final = "LADING_TRACEBACK"
"""Environment variable with which a defect prints its traceback."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit status (commands.exit_status); a failure has printed one line on standard error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # in a locale that lacks a character
    try:
        status = _run(arguments)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes again at exit, and would print a second BrokenPipeError.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_status.PIPE_CLOSED
    except KeyboardInterrupt:
        return exit_status.INTERRUPTED
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        _report(_reason(error), arguments if arguments is not None else sys.argv[1:])
        return error.status if isinstance(error, CommandError) else exit_status.FAILED
    return status


def _run(arguments: Sequence[str] | None) -> int:
    parsed = _parsed(sys.argv[1:] if arguments is None else arguments)
    command: Command = parsed.command
    if not parsed.uses_settings:
        # A broken configuration must not keep a person from help.
        return command(parsed, settings.load_settings({}, config=os.devnull)) or exit_status.OK
    loaded = settings.load_settings(options=given_options(parsed), config=parsed.config)
    return command(parsed, loaded) or exit_status.OK


def _reason(error: Exception) -> str:
    """Return the message of a failure, one line."""
    match error:
        case SettingsError() | StorageError() | CommandError():
            return str(error)
        case OSError():
            return f"{error.filename or 'standard output'}: {error.strerror or error}"
        case MemoryError():
            return "there is not enough memory"
    return f"a defect of Lading: {type(error).__name__}: {error}; {TRACEBACK}=1 shows where, for a bug report"


def _report(reason: str, arguments: Sequence[str]) -> None:
    # Buffered output first; a pipe or disk that takes no more must not hide the reason.
    with contextlib.suppress(OSError):
        if sys.stdout:
            sys.stdout.flush()
    if arguments[:1] == [SERVE] and _logs_json(arguments):
        from lading import logs

        logs.failed(reason)
    else:
        # What a message quotes may be a client's, or of a configuration that another user wrote.
        print(f"lading: {escape_lines(reason)}", file=sys.stderr)


def _logs_json(arguments: Sequence[str]) -> bool:
    """Return whether the server's log is JSON, even where other settings are not valid."""
    options = given_options(_parsed(arguments))
    return (options.get("log") or os.environ.get("LADING_LOG")) == "json"


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parsed = _parser(_groups_of(arguments)).parse_args(arguments)
    parsed.arguments = list(arguments)
    return parsed


def _groups_of(arguments: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """Return the modules that arguments need: that of their command alone, where it has its name.

    The import of all others takes half of the CPU time of `lading ls` (110 of 210 ms), and a tenth of a cold start.
    """
    name = arguments[0] if arguments else ""
    module = name.replace("-", "_")
    return {name: [module]} if module in NAMED and "_" not in name else GROUPS


class _PrintVersion(argparse.Action):
    """Option that prints the version and ends the command; the digest is computed only where it is printed."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest=argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        import lading
        from lading.version import source_version

        print(f"lading {lading.__version__} (sources {source_version()})")
        parser.exit()


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Formatter that leaves out the list of commands: the epilog has it by groups, which argparse cannot print."""

    def add_argument(self, action: argparse.Action) -> None:
        if not isinstance(action, argparse._SubParsersAction):
            super().add_argument(action)


def _parser(groups: Mapping[str, Sequence[str]] = GROUPS) -> argparse.ArgumentParser:
    parser = Parser(
        prog="lading",
        usage="lading [-h] [--version] COMMAND ...",
        description="A container registry that costs nothing while it is not used.",
        formatter_class=_HelpFormatter,
    )
    parser.add_argument("--version", action=_PrintVersion, help="print the version and the digest of the sources")
    commands = parser.add_subparsers(prog="lading", required=True, metavar="COMMAND")
    sections, listed = [], 0
    for title, modules in groups.items():
        for module in modules:
            import_module(f"lading.commands.{module}").add_to(commands)
        choices = commands._choices_actions
        sections.append("\n".join([f"{title}:", *(f"  {each.dest:16} {each.help}" for each in choices[listed:])]))
        listed = len(choices)
    parser.epilog = "\n\n".join([*sections, exit_status.help_text()])
    parser.set_defaults(parser=parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
