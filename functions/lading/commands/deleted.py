"""`lading delete`, `lading deleted`, `lading undelete`: what goes, what can come back, and how."""

import argparse
from typing import TYPE_CHECKING

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
from lading.commands.progress import ProgressLine
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.registry import Registry

WHAT = "REPOSITORY[:TAG|@DIGEST]"


def add_to(commands: Commands) -> None:
    """Add the commands."""
    deleting = add(commands, "delete", "delete a tag, a manifest or a repository", _delete, REGISTRY)
    deleting.add_argument("reference", metavar=WHAT)
    deleting.add_argument("--for-good", action="store_true", help="keep nothing of it that could be restored")
    add_yes(deleting)
    listing = add(commands, "deleted", "list what was deleted and can be restored", _deleted, (*REGISTRY, "undelete"))
    listing.add_argument("repository", metavar="REPOSITORY")
    restoring = add(commands, "undelete", "restore a tag, a manifest or a repository", _undelete, REGISTRY)
    restoring.add_argument("reference", metavar=WHAT)
    restoring.add_argument("--force", action="store_true", help="even where the tag names another manifest by now")


def _delete(parsed: argparse.Namespace, settings: Settings) -> None:
    """Delete with the reserve of the disk: on a full one nothing else makes garbage that could be collected."""
    from lading.jobs.gc.reserve import released

    place = reference(parsed.reference)
    refuse_standby(settings)
    if parsed.for_good:
        confirm(parsed, f"Delete {parsed.reference} for good? It cannot be restored.")
    elif not place.tag and not place.digest:
        confirm(parsed, f"Delete all of the repository {parsed.reference}?")
    with released(settings.metadata):
        _delete_now(parsed, place, registry(settings))


def _delete_now(parsed: argparse.Namespace, place: Reference, store: "Registry") -> None:
    with registry_errors():
        if place.digest:
            store.deletion.manifest(place.repository, place.digest, change_context("delete"))
        elif place.tag:
            store.tags.delete(place.repository, place.tag, change_context("delete"))
        else:
            with ProgressLine() as line:
                store.deletion.repository(place.repository, change_context("delete"), line.show)
    if parsed.for_good:
        _purge(store, place)
    print(f"deleted {parsed.reference}{' for good' if parsed.for_good else ''}")


def _purge(store: "Registry", place: Reference) -> None:
    """Give up what the deletion of `place` has just put aside."""
    from lading.registry.lifecycle import deletion_causes

    if place.digest:
        cause = deletion_causes.of_manifest(place.digest)
    else:
        cause = deletion_causes.of_tag(place.tag) if place.tag else deletion_causes.of_repository(place.repository)
    store.undelete.purge_by_cause(place.repository, cause)


def _deleted(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading_storage.records.deleted import DeletedTag

    place, store = reference(parsed.repository), registry(settings, writes=False)
    for thing in store.undelete.tombstones(place.repository):
        tag = isinstance(thing, DeletedTag)
        name = f"{place.repository}{':' if tag else '@'}{thing.id}"
        what = f"tag of {thing.digest}" if isinstance(thing, DeletedTag) else f"manifest of {thing.size} bytes"
        until = f"{thing.deleted + settings.undelete:%Y-%m-%d %H:%M}"
        print(f"{name}\t{what}\tdeleted {thing.deleted:%Y-%m-%d %H:%M} by {thing.by or '-'}\tkept until {until}")


def _undelete(parsed: argparse.Namespace, settings: Settings) -> None:
    place, undelete = reference(parsed.reference), registry(settings).undelete
    with registry_errors():
        if place.digest:
            undelete.manifest(place.repository, place.digest, change_context("restore"))
        elif place.tag:
            undelete.tag(place.repository, place.tag, change_context("restore"), force=parsed.force)
        else:
            undelete.repository(place.repository, change_context("restore"))
    print(f"restored {parsed.reference}")
