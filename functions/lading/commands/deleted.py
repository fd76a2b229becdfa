"""`lading delete`, `lading deleted`, `lading undelete`: delete, list what can be restored, restore."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from lading.commands.options import (
    REGISTRY,
    Commands,
    Reference,
    add,
    add_yes,
    change_context,
    confirm,
    reference,
    refuse_standby,
    registry,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.commands.progress import ProgressLine
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.registry import Registry
    from lading_storage.records.deleted import DeletedManifest, DeletedTag

REFERENCE: Final = "REPOSITORY[:TAG|@DIGEST]"


@dataclass(frozen=True, slots=True)
class DeletedRow:
    """Deleted tag or manifest that can be restored.

    reference  by which `lading undelete` restores it
    kind       "tag" or "manifest"
    digest     of the manifest
    size       of the manifest alone, in bytes
    by         the principal that deleted it, or "" where the credentials named none
    until      when garbage collection may remove it
    """

    reference: str
    kind: str
    digest: str
    size: int
    deleted: datetime
    by: str
    until: datetime


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """What was deleted or restored."""

    action: str
    reference: str


COLUMNS: Final[tuple[Column[DeletedRow], ...]] = (
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
    add_output_options(delete, ChangeRow, wide=False)
    listing = add(
        commands, "deleted", "list deleted tags and manifests that can be restored", _deleted, (*REGISTRY, "undelete")
    )
    listing.add_argument("repository", metavar="REPOSITORY")
    add_output_options(listing, DeletedRow)
    undelete = add(commands, "undelete", "restore a deleted tag, manifest or repository", _undelete, REGISTRY)
    undelete.add_argument("reference", metavar=REFERENCE)
    undelete.add_argument("--force", action="store_true", help="restore a tag that names another manifest now")
    add_output_options(undelete, ChangeRow, wide=False)


def _delete(parsed: argparse.Namespace, settings: Settings) -> None:
    """Delete with the reserved disk space released: on a full disk, only deletion makes garbage to collect."""
    from lading.jobs.gc.reserve import released

    target = reference(parsed.reference)
    refuse_standby(settings)
    if parsed.for_good:
        confirm(parsed, f"Delete {parsed.reference} for good? It cannot be restored.")
    elif not target.tag and not target.digest:
        confirm(parsed, f"Delete the repository {parsed.reference} and everything in it?")
    with released(settings.metadata):
        _delete_now(parsed, target, registry(settings))


def _delete_now(parsed: argparse.Namespace, target: Reference, store: "Registry") -> None:
    with registry_errors():
        if target.digest:
            target = target._replace(digest=store.inspection.find_digest(target.repository, target.digest))
            store.deletion.manifest(target.repository, target.digest, change_context("delete"))
        elif target.tag:
            store.tags.delete(target.repository, target.tag, change_context("delete"))
        else:
            with ProgressLine() as line:
                store.deletion.repository(target.repository, change_context("delete"), line.show)
    if parsed.for_good:
        _purge(store, target)
    action = "deleted for good" if parsed.for_good else "deleted"
    sentence = f"deleted {parsed.reference}{' for good' if parsed.for_good else ''}"
    Printer.of(parsed).record(ChangeRow(action, parsed.reference), sentence)


def _purge(store: "Registry", target: Reference) -> None:
    """Remove the tombstones that the deletion of `target` has just made."""
    from lading.registry import deletion_causes

    if target.digest:
        cause = deletion_causes.of_manifest(target.digest)
    else:
        cause = deletion_causes.of_tag(target.tag) if target.tag else deletion_causes.of_repository(target.repository)
    store.undelete.purge_by_cause(target.repository, cause)


def _deleted(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.registry.change_context import now

    target, store = reference(parsed.repository), registry(settings, writes=False)
    window = store.rules.read(target.repository).undelete(now())
    if not Printer.of(parsed).table(COLUMNS, _deleted_rows(store, target.repository, window)):
        with registry_errors():
            store.tags.require(target.repository, deleted=True)


def _deleted_rows(store: "Registry", repository: str, window: timedelta) -> Iterator[DeletedRow]:
    """Return the deleted manifests of a repository, then its deleted tags; `window` is the undelete window."""
    for record in store.undelete.tombstones(repository):
        yield _deleted_row(record, window)


def _deleted_row(record: "DeletedManifest | DeletedTag", window: timedelta) -> DeletedRow:
    from lading_storage.records.deleted import DeletedTag

    is_tag = isinstance(record, DeletedTag)
    return DeletedRow(
        reference=f"{record.repository}{':' if is_tag else '@'}{record.id}",
        kind="tag" if is_tag else "manifest",
        digest=record.digest,
        size=record.size,
        deleted=record.deleted,
        by=record.by,
        until=record.deleted + window,
    )


def _undelete(parsed: argparse.Namespace, settings: Settings) -> None:
    target, store = reference(parsed.reference), registry(settings)
    undelete = store.undelete
    with registry_errors():
        if target.digest:
            digest = store.inspection.find_digest(target.repository, target.digest, deleted=True)
            undelete.manifest(target.repository, digest, change_context("restore"))
        elif target.tag:
            undelete.tag(target.repository, target.tag, change_context("restore"), force=parsed.force)
        else:
            undelete.repository(target.repository, change_context("restore"))
    Printer.of(parsed).record(ChangeRow("restored", parsed.reference), f"restored {parsed.reference}")
