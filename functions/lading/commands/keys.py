"""`lading keys`: the keys that sign tokens."""

import argparse

from lading.commands.options import Commands, add, add_group, require_registry
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    keys = add_group(commands, "keys", "the keys that sign tokens")
    add(
        keys,
        "rotate",
        "sign with a new key; what the one before it signed stays good. Done twice, it ends a key that was lost",
        _rotate,
        ("data", "metadata", "keys"),
    )
    add(keys, "new", "print a document of new keys, for a secret that is made by other means", _new, ())


def _rotate(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.auth.keys import rotate
    from lading.composition import open_keys

    given = settings.is_given("keys")
    if not given:
        require_registry(settings)
    store = open_keys(settings.keys, create=not given)
    keys = rotate(store.load())
    store.save(keys)
    print(f"{keys.tokens[0].id} signs; trusted as well: {', '.join(key.id for key in keys.tokens[1:])}")


def _new(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.auth.keys import generate_keys, to_json

    print(to_json(generate_keys()).decode())
