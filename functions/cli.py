"""The `lading` command."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from functions import settings
from functions.settings import SETTINGS, Setting, Settings, SettingsError
from storage.errors import StorageError

Command = Callable[[argparse.Namespace, Settings], None]

OPEN_REFUSED: Final = (
    "{address} can be reached from other machines, and everybody may pull, push and delete here.\n"
    "If that is what you want, say so: --open-to-everybody"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; answers the exit status: 0, or 1 with one line on standard error."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    try:
        read = settings.read(options={each.option: _given(parsed, each) for each in SETTINGS})
        command: Command = parsed.command
        command(parsed, read)
    except (SettingsError, StorageError) as error:
        print(f"lading: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _serve(parsed: argparse.Namespace, read: Settings) -> None:
    """Refuse what is unsafe, say where things are, serve."""
    if read.listens_beyond_loopback and not read.open_to_everybody:
        raise SettingsError(OPEN_REFUSED.format(address=f"{read.host}:{read.port}"))
    from functions import logs
    from functions.app import create
    from functions.serve import serve

    logs.start(read.log)
    app = create(read)
    print(_welcome(read), flush=True)
    serve(app, read)


def _backup(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.app import open_blobs, open_metadata
    from functions.jobs.backup import Stores, back_up

    print(back_up(Stores(open_blobs(read.blobs), open_metadata(read.metadata)), Path(parsed.folder)))


def _restore(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.app import open_blobs, open_metadata
    from functions.jobs.backup import Stores, restore

    print(restore(Path(parsed.folder), Stores(open_blobs(read.blobs), open_metadata(read.metadata))))


def _welcome(read: Settings) -> str:
    host = f"[{read.host}]" if ":" in read.host else read.host
    address = read.url.partition("://")[2] or f"{host}:{read.port}"
    scheme = "https" if read.tls_cert else "http"
    return f"""\
Lading serves {read.url or f"{scheme}://{address}"}
  blobs     {read.blobs}
  metadata  {read.metadata}

Try:
  docker tag IMAGE {address}/IMAGE
  docker push {address}/IMAGE
  docker pull {address}/IMAGE
"""


def _given(parsed: argparse.Namespace, setting: Setting) -> str | None:
    value: str | bool | None = getattr(parsed, setting.option.replace("-", "_"), None)
    return ("yes" if value else None) if isinstance(value, bool) else value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lading", description="A container registry that costs nothing while nobody uses it."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve the registry")
    serve.set_defaults(command=_serve)
    backup = commands.add_parser("backup", help="copy metadata and blobs into a folder, while serving")
    backup.add_argument(
        "folder", metavar="FOLDER", help="a new folder, or an earlier backup, which is brought up to date"
    )
    backup.set_defaults(command=_backup)
    restore = commands.add_parser("restore", help="put back what a backup has and the registry lacks, while serving")
    restore.add_argument("folder", metavar="FOLDER", help="the folder of a backup")
    restore.set_defaults(command=_restore)
    for setting in SETTINGS:
        _add(serve, setting)
        if setting.option in ("data", "blobs", "metadata"):
            _add(backup, setting)
            _add(restore, setting)
    return parser


def _add(parser: argparse.ArgumentParser, setting: Setting) -> None:
    default = f"; default {setting.default}" if setting.default else ""
    text = f"{setting.help} ({setting.variable}{default})"
    if setting.value:
        parser.add_argument(f"--{setting.option}", metavar=setting.value, help=text)
    else:
        parser.add_argument(f"--{setting.option}", action="store_true", help=text)


if __name__ == "__main__":
    sys.exit(main())
