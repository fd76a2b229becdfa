"""`lading backup`, `lading restore`, `lading promote`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from lading.commands.options import (
    REGISTRY,
    STORES,
    CommandError,
    Commands,
    add,
    change_context,
    metadata,
    refuse_standby,
)
from lading.commands.progress import ProgressLine
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.backup import BackupReport, Stores


def add_to(commands: Commands) -> None:
    """Add the commands."""
    backup = add(commands, "backup", "copy metadata and blobs into a folder, while serving", _backup, STORES)
    backup.add_argument(
        "folder", metavar="FOLDER", help="an empty folder, or a backup of this registry, which is brought up to date"
    )
    backup.add_argument("--prune", action="store_true", help="remove the blobs that the backup does not name any more")
    backup.add_argument("--force", action="store_true", help="even where the backup shrinks by more than half")
    restore = add(
        commands, "restore", "put back what a backup has and the registry lacks, while serving", _restore, REGISTRY
    )
    restore.add_argument("folder", metavar="FOLDER", help="the folder of a backup")
    promote = add(commands, "promote", "make a registry of a backup: no backup goes into it any more", _promote, ())
    promote.add_argument("folder", metavar="FOLDER", help="the folder of a backup")


def _backup(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.composition import open_blobs
    from lading.jobs.backup import BackupOptions, Stores, back_up

    opened = metadata(settings)
    source = Stores(open_blobs(settings.blobs, create=False), opened)
    options = BackupOptions(parsed.force, parsed.prune, settings.metadata)
    with ProgressLine() as line:
        report = back_up(source, Path(parsed.folder), options, lambda report: _show(line, report))
    _tell(report)


def _restore(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.composition import immutable_tags
    from lading.jobs.backup import RestoreOptions, restore

    refuse_standby(settings)
    rules = RestoreOptions(change_context("restore"), immutable_tags(settings))
    with ProgressLine() as line:
        report = restore(Path(parsed.folder), lambda: _stores(settings), rules, lambda report: _show(line, report))
    _tell(report)


def _promote(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.backup import promote

    folder = Path(parsed.folder)
    identity = promote(folder)
    print(f"{folder} is registry {identity} of its own now; no backup goes into it any more")
    print("Where it is served, start `lading serve` again: a standby stays read-only while it runs")


def _stores(settings: Settings) -> "Stores":
    """The stores of the settings, made where there are none."""
    from lading.composition import open_blobs, open_metadata
    from lading.jobs.backup import Stores
    from lading.registry.identity import identity_of

    # First what may turn out to be another program's.
    opened = open_metadata(settings.metadata)
    stores = Stores(open_blobs(settings.blobs), opened)
    identity_of(opened)
    return stores


def _show(line: ProgressLine, report: "BackupReport") -> None:
    line.show(report.phase, report.done, report.total, report.moved)


def _tell(report: "BackupReport") -> None:
    print(report)
    if report.damaged:
        raise CommandError(f"{len(report.damaged)} blobs are lost or damaged where they were copied from")
