"""What commands share: options made of the settings, and how a command is added."""

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from lading.setting import Setting
from lading.setting_values import duration
from lading.settings import SETTINGS, Settings

if TYPE_CHECKING:
    from lading.registry.change_context import ChangeContext
    from lading.registry.registry import Registry
    from lading_storage.protocols import MetadataStore

Command = Callable[[argparse.Namespace, Settings], int | None]
"""What a command does; its exit status, None for 0."""

Commands = Any
"""What argparse's add_subparsers gives; its type is private."""

STORES = ("data", "blobs", "metadata")
REGISTRY = (*STORES, "immutable")
ACCESS = ("data", "metadata", "access", "public", "folders", "unscoped-tokens", "users", "grants", "keys", "url")


CONFIG_HELP = (
    "the configuration, lading.toml (LADING_CONFIG: a file, a gs:// URL or the text itself; default the one in the data"
    " folder, or in this folder)"
)


class CommandError(Exception):
    """A command that cannot be done as it was given; the message says why.

    status  the exit status
    """

    status = 1


class Unconfirmed(CommandError):
    """A command that has to be confirmed, where no terminal can be asked. Its exit status is that of a wrong usage."""

    status = 2


class Parser(argparse.ArgumentParser):
    """A parser of options that are written out: an abbreviation may mean another option in the next release.

    Its subparsers are of this class, too.
    """

    def __init__(self, **options: Any) -> None:
        """See ArgumentParser."""
        super().__init__(**options, allow_abbrev=False)


def add(commands: Commands, name: str, help: str, command: Command, options: Iterable[str]) -> argparse.ArgumentParser:
    """Add a command with some of the settings as its options; answers its parser, for more."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help=help, description=help)
    parser.set_defaults(command=command)
    chosen = frozenset(options)
    for setting in SETTINGS:
        if setting.option in chosen:
            _add_setting(parser, setting)
    if chosen:
        parser.add_argument("--config", metavar="FILE", default="", help=CONFIG_HELP)
    return parser


def add_group(commands: Commands, name: str, help: str) -> Commands:
    """Add a command that is made of commands."""
    return commands.add_parser(name, help=help, description=help).add_subparsers(required=True, metavar="COMMAND")


def given_options(parsed: argparse.Namespace) -> dict[str, str | None]:
    """The settings that were given as options."""
    return {setting.option: getattr(parsed, setting.option.replace("-", "_"), None) for setting in SETTINGS}


class Reference(NamedTuple):
    """What REPOSITORY[:TAG|@DIGEST] names; the two that are not given are ""."""

    repository: str
    tag: str = ""
    digest: str = ""


def reference(text: str) -> Reference:
    """Read REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST. Raises CommandError."""
    from lading.registry.errors import RegistryError
    from lading.registry.names import check_digest, check_repository, check_tag

    name, at, digest = text.partition("@")
    repository, colon, tag = name.partition(":")
    try:
        check_repository(repository)
        if at:
            check_digest(digest)
        if colon:
            check_tag(tag)
    except RegistryError as error:
        raise CommandError(f"{text} is not REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST: {error}") from None
    return Reference(repository, tag, digest)


def registry(settings: Settings, writes: bool = True) -> "Registry":
    """Open the registry of the settings, to work on its stores directly.

    Raises StoreNotFound: none is made; and CommandError where a command that writes is given a standby.
    """
    from lading.composition import open_registry

    if writes:
        refuse_standby(settings)
    return open_registry(settings, metadata(settings), create=False)


def metadata(settings: Settings) -> "MetadataStore":
    """Open the metadata of the registry of the settings. Raises StoreNotFound: none is made."""
    from lading.composition import open_metadata

    return open_metadata(settings.metadata, create=False)


def refuse_standby(settings: Settings) -> None:
    """Raise CommandError where the data folder is a backup: the next one would undo what is written."""
    from lading.composition import standby_of

    if standby := standby_of(settings):
        raise CommandError(f"{standby}; `lading promote FOLDER` makes it a registry of its own")


def require_registry(settings: Settings) -> None:
    """Raise StoreNotFound where there is no registry, for what works on other files of its data folder."""
    from lading_storage.records.core import Key, Repository

    opened = metadata(settings)
    # A database in the cloud is asked with the first request.
    opened.read([Key(Repository, "-")])
    opened.close()


@contextmanager
def registry_errors() -> Iterator[None]:
    """Turn what the registry refuses in this block into a command's error."""
    from lading.registry.errors import RegistryError

    try:
        yield
    except RegistryError as error:
        raise CommandError(str(error)) from None


def change_context(action: str) -> "ChangeContext":
    """What a command does, for the history: by whoever is logged in to this machine."""
    from lading.registry.change_context import ChangeContext

    return ChangeContext(action, f"{_user_name()} (lading {action})")


def _user_name() -> str:
    """Return the name of this process's user, or its number where the system knows no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # KeyError until Python 3.12.
        return f"uid {os.getuid()}"


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the option that confirms what `confirm` would ask."""
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where standard input is no terminal")


def confirm(parsed: argparse.Namespace, question: str) -> None:
    """Ask on a terminal whether to go on, unless --yes was given.

    Raises Unconfirmed where there is no terminal, and CommandError where the answer is not yes.
    """
    if parsed.yes:
        return
    if not sys.stdin.isatty():
        raise Unconfirmed(f"{question} Nothing was changed; say --yes where no terminal can be asked")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed")


def parse_time(option: str, text: str) -> timedelta:
    """Parse a time such as 7d. Raises CommandError, which names the option."""
    try:
        return duration(text)
    except ValueError as error:
        raise CommandError(f"{option} {error}, not {text}") from None


def value_or_stdin(text: str) -> str:
    """`text`, or, where it is `-`, what comes on standard input: others on the machine see what a command is given."""
    return sys.stdin.read().strip() if text == "-" else text


def format_size(size: int) -> str:
    """So many bytes, as people read them."""
    figure, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if figure < 1000:
            break
        figure, unit = figure / 1000, larger
    return f"{figure:.1f} {unit}" if unit != "B" else f"{size} B"


def _add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    default = f"; default {setting.default}" if setting.default else ""
    text = f"{setting.help} ({setting.variable}{default})"
    parser.add_argument(f"--{setting.option}", metavar=setting.value, help=text.replace("%", "%%"))
