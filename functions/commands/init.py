"""`lading init`: make an empty registry and its first user, without serving it."""

import argparse
from pathlib import Path

from functions.commands.first_user import first_user_text, welcome
from functions.commands.options import CommandError, Commands, add, require_registry
from functions.settings import Settings
from storage.errors import ForeignStore, StoreNotFound
from storage.folders import claim

OPTIONS = ("data", "blobs", "metadata", "access", "users", "grants", "keys")


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "init", "make an empty registry and its first user, without serving it", _init, OPTIONS)


def _init(parsed: argparse.Namespace, read: Settings) -> None:
    """Make the stores, then the user: whoever is killed in between gets a user from `lading serve`."""
    from functions.composition import open_blobs, open_metadata
    from functions.registry.identity import identity_of

    try:
        require_registry(read)
    except ForeignStore:
        raise
    except StoreNotFound:
        pass
    else:
        raise CommandError(f"there is a registry in {read.metadata} already; nothing was changed")
    claim(read.data)
    open_blobs(read.blobs).close()
    metadata = open_metadata(read.metadata)
    identity_of(metadata)
    metadata.close()
    print(f"made a registry\n  blobs     {read.blobs}\n  metadata  {read.metadata}")
    welcome(read, _tell)


def _tell(password: Path | None) -> None:
    if password:
        print(f"\n{first_user_text(password)}")
