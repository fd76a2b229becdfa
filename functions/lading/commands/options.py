"""Shared parts of the commands: options made from settings, references, confirmation, opening the registry."""

import argparse
import getpass
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from string import hexdigits
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from lading.commands import exit_status
from lading.setting import Setting
from lading.setting_values import duration
from lading.settings import SETTINGS, Settings
from lading.terminal_text import escape

if TYPE_CHECKING:
    from lading.registry.change_context import ChangeContext
    from lading.registry.registry import Registry
    from lading_storage.protocols import MetadataStore

Command = Callable[[argparse.Namespace, Settings], int | None]
"""Function of a command; it returns the exit status, or None for 0."""

Commands = Any
"""Return type of argparse's add_subparsers, which is private."""

STORES = ("data", "blobs", "metadata")
REGISTRY = (*STORES, "immutable")
ACCESS = ("data", "metadata", "access", "public", "folders", "unscoped-tokens", "users", "grants", "keys", "url")


CONFIG_HELP = (
    "the configuration, lading.toml (LADING_CONFIG: a file, a gs:// URL or the text itself; default the one in the data"
    " folder, or in this folder)"
)


MAX_MESSAGE: Final = 4_000
"""Maximum characters of an error of the registry that is printed."""


NEXT_STEPS: Final = {
    "MANIFEST_UNKNOWN": "; `lading ls REPOSITORY` lists tags, `lading deleted REPOSITORY` what can be restored",
    "NAME_UNKNOWN": "; `lading ls` lists the repositories",
}
"""What to do after an error of the registry, by its code."""


class CommandError(Exception):
    """Failure of a command; the message says why, and what to do.

    status  the exit status
    """

    status = exit_status.FAILED


class Unconfirmed(CommandError):
    """Confirmation is needed, and standard input is no terminal."""

    status = exit_status.USAGE


class Parser(argparse.ArgumentParser):
    """Parser that takes no abbreviated options: an abbreviation may mean another option in the next release.

    Its subparsers are of this class as well.

    rows  the dataclasses whose fields the command prints with --json
    """

    rows: tuple[type, ...] = ()

    def __init__(self, **options: Any) -> None:
        """See ArgumentParser."""
        super().__init__(**options, allow_abbrev=False)


class _RefuseRegistry(argparse.Action):
    """Option of a command that works on the stores alone."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        raise CommandError(f"`{parser.prog}` works on the stores: run it on their machine, without --registry")


def add(commands: Commands, name: str, help: str, command: Command, options: Iterable[str]) -> Parser:
    """Add a command with some of the settings as its options, and return its parser.

    A command that works over HTTP as well adds `--registry` (source.add_registry_options). To any other that has stores
    the option is known, so that it is refused with a sentence.
    """
    parser: Parser = commands.add_parser(name, help=help, description=help, conflict_handler="resolve")
    chosen = frozenset(options)
    parser.set_defaults(command=command, uses_settings=bool(chosen))
    for setting in SETTINGS:
        if setting.option in chosen:
            _add_setting(parser, setting)
    if chosen & frozenset(STORES) and name != "serve":
        parser.add_argument("--registry", action=_RefuseRegistry, help=argparse.SUPPRESS)
    if chosen:
        parser.add_argument("--config", metavar="FILE", default="", help=CONFIG_HELP)
    return parser


def add_group(commands: Commands, name: str, help: str, aliases: Sequence[str] = ()) -> Commands:
    """Add a group of commands; `aliases` are other names that work as well."""
    group = commands.add_parser(name, help=help, description=help, aliases=aliases)
    return group.add_subparsers(required=True, metavar="COMMAND")


def given_options(parsed: argparse.Namespace) -> dict[str, str | None]:
    """Return the settings that were given as options."""
    return {setting.option: getattr(parsed, setting.option.replace("-", "_"), None) for setting in SETTINGS}


class Reference(NamedTuple):
    """Parsed REPOSITORY[:TAG|@DIGEST]; a part that is not given is ""."""

    repository: str
    tag: str = ""
    digest: str = ""


def reference(text: str, url: str | None = None) -> Reference:
    """Parse REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST, whose digest may be short.

    Raises CommandError, also where the text begins with the host of `url`, the registry's: without a port, it would be
    taken for a part of the repository's name.
    """
    from lading.registry.errors import RegistryError
    from lading.registry.names import check_repository, check_tag

    name, at, digest = text.partition("@")
    host, slash, rest = name.partition("/")
    if slash and (":" in host or host == _host_of(url)):
        raise CommandError(f"{text} begins with a host; write {rest}{at}{digest}, without {host}/")
    repository, colon, tag = name.partition(":")
    try:
        check_repository(repository)
        if colon:
            check_tag(tag)
    except RegistryError as error:
        raise CommandError(f"{text} is not REPOSITORY, REPOSITORY:TAG or REPOSITORY@DIGEST: {error}") from None
    return Reference(repository, tag, digest_prefix(digest) if at else "")


def _host_of(url: str | None) -> str | None:
    with suppress(ValueError):
        return urlsplit(url or "").hostname
    return None


def digest_prefix(text: str) -> str:
    """Return a digest, or the beginning of one, with its algorithm: sha256 where there is none. Raises CommandError."""
    from lading.registry.names import MIN_PREFIX
    from lading_storage.digests import ALGORITHMS

    algorithm, colon, digits = text.rpartition(":")
    algorithm = algorithm if colon else "sha256"
    if algorithm not in ALGORITHMS:
        raise CommandError(f"{text} is no digest: there are those of {' and '.join(ALGORITHMS)}")
    if set(digits) - set(hexdigits.lower()) or not MIN_PREFIX <= len(digits) <= ALGORITHMS[algorithm]:
        raise CommandError(
            f"{text} is no digest: {algorithm}: and {ALGORITHMS[algorithm]} hexadecimal digits in lower case, or their"
            f" first {MIN_PREFIX} or more"
        )
    return f"{algorithm}:{digits}"


def registry(settings: Settings, writes: bool = True) -> "Registry":
    """Open the registry of the settings, to work on its stores directly.

    Raises:
        StoreNotFound: there is no registry; none is created.
        StorageError: it is of an earlier release, and the command does not write.
        CommandError: the registry is a standby, and the command `writes`.
    """
    from lading.composition import open_registry

    if writes:
        refuse_standby(settings)
    return open_registry(settings, metadata(settings, upgrade=writes), create=False)


def metadata(settings: Settings, upgrade: bool = True) -> "MetadataStore":
    """Open the metadata of the registry of the settings.

    Args:
        settings: say where it is.
        upgrade: whether a file of an earlier release is upgraded; a command that only reads must not.

    Raises:
        StoreNotFound: there is none.
        StorageError: it is of an earlier release, and `upgrade` is false.
    """
    from lading.composition import open_metadata

    return open_metadata(settings.metadata, create=False, upgrade=upgrade)


def refuse_standby(settings: Settings) -> None:
    """Raise CommandError where the data folder is a backup: the next backup would overwrite what is written."""
    from lading.composition import standby_of

    if standby := standby_of(settings):
        raise CommandError(f"{standby}; `lading promote FOLDER` makes it a registry of its own")


def require_registry(settings: Settings) -> None:
    """Raise StoreNotFound where there is no registry, for commands that use other files of its data folder."""
    from lading_storage.records.core import Key, Repository

    opened = metadata(settings, upgrade=False)
    # Firestore is contacted by the first request only.
    opened.read([Key(Repository, "-")])
    opened.close()


@contextmanager
def registry_errors() -> Iterator[None]:
    """Convert a RegistryError, or a ClientError, in this block to a CommandError."""
    from lading.client.errors import ClientError
    from lading.registry.errors import RegistryError

    try:
        yield
    except (RegistryError, ClientError) as error:
        advice = NEXT_STEPS.get(error.descriptor.code, "") if isinstance(error, RegistryError) else ""
        # One line, and no long one, whatever a registry over HTTP sends.
        raise CommandError(escape(str(error))[:MAX_MESSAGE] + advice) from None


def change_context(action: str) -> "ChangeContext":
    """Return the context of a change for the history: the actor is the user of this process."""
    from lading.registry.change_context import ChangeContext

    return ChangeContext(action, f"{_user_name()} (lading {action})", warnings={})


def print_warnings(lines: Iterable[str]) -> None:
    """Print what policies would have refused that only audit."""
    for line in dict.fromkeys(lines):
        print(f"warning: {escape(line)}", file=sys.stderr)


def _user_name() -> str:
    """Return the name of this process's user, or its number where the system knows no name, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # KeyError until Python 3.12.
        return f"uid {os.getuid()}"


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add the option with which `confirm` asks nothing."""
    parser.add_argument("--yes", action="store_true", help="do not ask; required where standard input is no terminal")


def confirm(parsed: argparse.Namespace, question: str) -> None:
    """Ask on the terminal whether to continue, unless --yes was given.

    Raises:
        Unconfirmed: standard input is no terminal.
        CommandError: the reply is not yes.
    """
    if parsed.yes:
        return
    if not sys.stdin.isatty():
        raise Unconfirmed(f"{question} Nothing was changed; use --yes where standard input is no terminal")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was changed")


def count(text: str) -> int:
    """Parse a number of items. Raises ArgumentTypeError, whose message argparse prints after the option."""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise argparse.ArgumentTypeError(f"a number from 0 is needed, not {text}")
    return int(text)


def parse_time(option: str, text: str) -> timedelta:
    """Parse a time such as 7d. Raises CommandError, which names the option."""
    try:
        return duration(text)
    except ValueError as error:
        raise CommandError(f"{option} {error}, not {text}") from None


def value_or_stdin(text: str) -> str:
    """Return `text`, or standard input where it is `-`: other users of the machine can read a command's arguments."""
    return sys.stdin.read().strip() if text == "-" else text


def _add_setting(parser: argparse.ArgumentParser, setting: Setting) -> None:
    default = f"; default {setting.default}" if setting.default else ""
    text = f"{setting.help} ({setting.variable}{default})"
    parser.add_argument(f"--{setting.option}", metavar=setting.value, help=text.replace("%", "%%"))
