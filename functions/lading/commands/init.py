"""`lading init`: create an empty registry and its first user, without serving it."""

import argparse
from pathlib import Path

from lading.commands.first_user import create_first_user, first_user_text, login_line
from lading.commands.options import CommandError, Commands, add, require_registry
from lading.settings import Settings
from lading_storage.errors import ForeignStore, StoreNotFound
from lading_storage.local.durable_folders import make_private_if_empty

OPTIONS = ("data", "blobs", "metadata", "access", "users", "grants", "keys", "url", "address")


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "init", "create an empty registry and its first user, without serving it", _init, OPTIONS)


def _init(parsed: argparse.Namespace, settings: Settings) -> None:
    """Create the stores, then the user: where this is killed in between, `lading serve` creates the user."""
    from lading.composition import open_blobs, open_metadata
    from lading.registry.identity import identity_of
    from lading.registry.owner_mark import mark_new_store

    try:
        require_registry(settings)
    except ForeignStore:
        raise
    except StoreNotFound:
        pass
    else:
        raise CommandError(f"there is a registry in {settings.metadata} already; nothing was changed")
    make_private_if_empty(settings.data)
    blobs, metadata = open_blobs(settings.blobs), open_metadata(settings.metadata)
    identity_of(metadata)
    mark_new_store(blobs, metadata)
    blobs.close()
    metadata.close()
    print(f"created a registry\n  blobs     {settings.blobs}\n  metadata  {settings.metadata}")
    create_first_user(settings, lambda password: _announce(settings, password))


def _announce(settings: Settings, password: Path | None) -> None:
    if password:
        print(f"\n{first_user_text(password)}")
    if line := login_line(settings, password):
        print(f"\nOnce `lading serve` runs, log in:\n  {line}")
