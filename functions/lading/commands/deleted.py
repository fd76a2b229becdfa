"""`lading delete`, `lading deleted`, `lading undelete`: delete, list what can be restored, restore."""

import argparse
from dataclasses import dataclass
from typing import Final

from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    Reference,
    add,
    add_yes,
    confirm,
    reference,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.commands.source import add_registry_options, open_source
from lading.registry.details import DeletedSummary
from lading.settings import Settings

REFERENCE: Final = "REPOSITORY[:TAG|@DIGEST]"


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What was deleted or restored."""

    action: str
    reference: str


COLUMNS: Final[tuple[Column[DeletedSummary], ...]] = (
    Column("REFERENCE", lambda row: row.reference),
    Column("KIND", lambda row: row.kind),
    Column("DIGEST", lambda row: row.digest if row.kind == "tag" else ""),
    Column("SIZE", lambda row: format_size(row.size), right=True),
    Column("DELETED", lambda row: row.deleted),
    Column("BY", lambda row: row.by),
    Column("KEPT UNTIL", lambda row: row.until),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    delete = add(commands, "delete", "delete a tag, a manifest or a repository", _delete, REGISTRY)
    delete.add_argument("reference", metavar=REFERENCE)
    delete.add_argument("--for-good", action="store_true", help="delete permanently: nothing can be restored")
    add_yes(delete)
    add_registry_options(delete)
    add_output_options(delete, ChangeRow, wide=False)
    listing = add(
        commands, "deleted", "list deleted tags and manifests that can be restored", _deleted, (*REGISTRY, "undelete")
    )
    listing.add_argument("reference", metavar=REFERENCE, help="what to list: all of a repository, a tag or a manifest")
    add_registry_options(listing)
    add_output_options(listing, DeletedSummary)
    undelete = add(commands, "undelete", "restore a deleted tag, manifest or repository", _undelete, REGISTRY)
    undelete.add_argument("reference", metavar=REFERENCE)
    undelete.add_argument("--force", action="store_true", help="restore a tag that names another manifest now")
    add_registry_options(undelete)
    add_output_options(undelete, ChangeRow, wide=False)


def _delete(parsed: argparse.Namespace, settings: Settings) -> None:
    target, source = reference(parsed.reference, parsed.registry), open_source(parsed, settings, writes=True)
    if parsed.for_good:
        confirm(parsed, f"Delete {parsed.reference} for good? It cannot be restored.")
    elif not target.tag and not target.digest:
        confirm(parsed, f"Delete the repository {parsed.reference} and everything in it?")
    with registry_errors():
        source.delete(target, parsed.for_good)
    action = "deleted for good" if parsed.for_good else "deleted"
    sentence = f"deleted {parsed.reference}{' for good' if parsed.for_good else ''}"
    Printer.of(parsed).record(ChangeRow(action, parsed.reference), sentence)


def _deleted(parsed: argparse.Namespace, settings: Settings) -> None:
    target, source = reference(parsed.reference, parsed.registry), open_source(parsed, settings)
    with registry_errors():
        rows = source.deleted(target.repository)
        if not target.tag and not target.digest:
            Printer.of(parsed).table(COLUMNS, rows)
            return
        found = [row for row in rows if _is_named(row, target)]
    if not found:
        raise CommandError(f"no {parsed.reference} was deleted; `lading deleted {target.repository}` lists what was")
    Printer.of(parsed).table(COLUMNS, found)


def _is_named(row: DeletedSummary, target: Reference) -> bool:
    if target.digest:
        return row.kind == "manifest" and row.digest.startswith(target.digest)
    return row.kind == "tag" and row.reference == f"{target.repository}:{target.tag}"


def _undelete(parsed: argparse.Namespace, settings: Settings) -> None:
    target, source = reference(parsed.reference, parsed.registry), open_source(parsed, settings, writes=True)
    with registry_errors():
        source.undelete(target, parsed.force)
    Printer.of(parsed).record(ChangeRow("restored", parsed.reference), f"restored {parsed.reference}")
