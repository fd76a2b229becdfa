"""`lading backup`, `lading restore`, `lading promote`."""

import argparse
from dataclasses import dataclass, fields
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
from lading.commands.output import Printer, add_output_options
from lading.commands.progress import ProgressLine
from lading.quantity import counted
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.backup import BackupReport
    from lading_storage.stores import Stores


@dataclass(frozen=True, slots=True)
class CopyRow:
    """What a backup or a restore copied, and what it did not.

    bytes           of the blobs
    tags_skipped    tags that name something else in the destination, and were not changed
    immutable_tags_skipped
                    deleted tags that were not restored, since a rule makes them immutable and they last named
                    something else
    robots_skipped  robots that were not restored into a registry in use, since they may have been revoked
    rules_skipped   sections of rules that were not restored, since the registry has others
    removed         objects that --prune removed
    damaged         digests of the blobs that are lost or damaged in the source
    """

    repositories: int
    tags: int
    manifests: int
    blobs: int
    bytes: int
    tags_skipped: int
    immutable_tags_skipped: int
    robots_skipped: int
    rules_skipped: int
    removed: int
    damaged: tuple[str, ...]

    @classmethod
    def of(cls, report: "BackupReport") -> "CopyRow":
        """Return the row of a report."""
        counts = {each.name: getattr(report, each.name) for each in fields(cls) if each.name != "damaged"}
        return cls(**counts, damaged=tuple(sorted(report.damaged)))


def add_to(commands: Commands) -> None:
    """Add the commands."""
    backup = add(commands, "backup", "copy metadata and blobs into a folder, while serving", _backup, STORES)
    backup.add_argument("folder", metavar="FOLDER", help="an empty folder, or a backup of this registry to update")
    backup.add_argument("--prune", action="store_true", help="remove the blobs that the backup no longer refers to")
    backup.add_argument("--force", action="store_true", help="continue where the backup shrinks by more than half")
    restore = add(
        commands, "restore", "restore what a backup has and the registry lacks, while serving", _restore, REGISTRY
    )
    restore.add_argument("folder", metavar="FOLDER", help="the folder of a backup")
    for parser in (backup, restore):
        add_output_options(parser, CopyRow, wide=False)
    promote = add(commands, "promote", "make a backup a registry of its own, which is no backup any more", _promote, ())
    promote.add_argument("folder", metavar="FOLDER", help="the folder of a backup")


def _backup(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.composition import open_blobs
    from lading.jobs.backup import BackupOptions, back_up
    from lading_storage.stores import Stores

    opened = metadata(settings)
    source = Stores(open_blobs(settings.blobs, create=False), opened)
    options = BackupOptions(parsed.force, parsed.prune, settings.metadata)
    with ProgressLine() as line:
        report = back_up(source, Path(parsed.folder), options, lambda report: _show(line, report))
    _print(parsed, report)


def _restore(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.composition import local_rules
    from lading.jobs.backup import RestoreOptions, restore

    refuse_standby(settings)
    rules = RestoreOptions(change_context("restore"), local_rules(settings))
    with ProgressLine() as line:
        report = restore(Path(parsed.folder), lambda: _stores(settings), rules, lambda report: _show(line, report))
    _print(parsed, report)


def _promote(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.backup import promote

    folder = Path(parsed.folder)
    identity = promote(folder)
    print(f"{folder} is registry {identity} of its own now; it takes no further backup")
    print("Restart `lading serve` where it serves this folder: until then it stays a read-only standby")


def _stores(settings: Settings) -> "Stores":
    """Return the stores of the settings; they are created where there are none."""
    from lading.composition import open_blobs, open_metadata
    from lading.registry.identity import identity_of
    from lading.registry.owner_mark import mark_new_store
    from lading_storage.stores import Stores

    # The metadata first: it raises where the file is another program's.
    opened = open_metadata(settings.metadata)
    stores = Stores(open_blobs(settings.blobs), opened)
    identity_of(opened)
    mark_new_store(stores.blobs, opened)
    return stores


def _show(line: ProgressLine, report: "BackupReport") -> None:
    line.show(report.phase, report.done, report.total, report.moved)


def _print(parsed: argparse.Namespace, report: "BackupReport") -> None:
    Printer.of(parsed).record(CopyRow.of(report), str(report))
    if report.damaged:
        number = len(report.damaged)
        lost = f"{counted(number, 'blob')} {'is' if number == 1 else 'are'} lost or damaged"
        raise CommandError(f"{lost} in the source")
