"""`lading backup`, `lading restore`."""

import argparse
from pathlib import Path

from functions.commands.options import STORES, Commands, add
from functions.settings import Settings


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

    print(back_up(Stores(open_blobs(read.blobs), open_metadata(read.metadata)), Path(parsed.folder)))


def _restore(parsed: argparse.Namespace, read: Settings) -> None:
    from functions.composition import open_blobs, open_metadata
    from functions.jobs.backup import Stores, restore

    print(restore(Path(parsed.folder), Stores(open_blobs(read.blobs), open_metadata(read.metadata))))
