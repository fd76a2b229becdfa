"""`lading backup`, `lading restore`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from functions.commands.options import STORES, CommandError, Commands, add
from functions.settings import Settings

if TYPE_CHECKING:
    from functions.jobs.backup import Report


def add_to(commands: Commands) -> None:
    """Add the commands."""
    backup = add(commands, "backup", "copy metadata and blobs into a folder, while serving", _backup, STORES)
    backup.add_argument(
        "folder", metavar="FOLDER", help="a new folder, or an earlier backup, which is brought up to date"
    )
    restore = add(
        commands, "restore", "put back what a backup has and the registry lacks, while serving", _restore, STORES
    )
    restore.add_argument("folder", metavar="FOLDER", help="the folder of a backup")


def _backup(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.composition import open_blobs, open_metadata
    from functions.jobs.backup import Stores, back_up

    metadata = open_metadata(read.metadata, create=False)
    source = Stores(open_blobs(read.blobs, create=False), metadata)
    _tell(back_up(source, Path(parsed.folder)))


def _restore(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.composition import open_blobs, open_metadata
    from functions.jobs.backup import Stores, restore

    _tell(restore(Path(parsed.folder), Stores(open_blobs(read.blobs), open_metadata(read.metadata))))


def _tell(report: "Report") -> None:
    print(report)
    if report.damaged:
        raise CommandError(f"{len(report.damaged)} blobs are lost or damaged where they were copied from")
