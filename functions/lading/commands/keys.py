"""`lading keys`: the keys that sign tokens."""

import argparse
from dataclasses import dataclass

from lading.commands.options import Commands, add, add_group, require_registry
from lading.commands.output import Printer, add_output_options
from lading.settings import Settings


@dataclass(frozen=True, slots=True)
class KeysRow:
    """Ids of the key that signs, and of the other keys whose signatures are valid."""

    signs: str
    trusted: tuple[str, ...]


def add_to(commands: Commands) -> None:
    """Add the commands."""
    keys = add_group(commands, "keys", "the keys that sign tokens")
    rotate = add(
        keys,
        "rotate",
        "sign with a new key; signatures of the key before it stay valid. Run twice, it revokes a lost key",
        _rotate,
        ("data", "metadata", "keys"),
    )
    add_output_options(rotate, KeysRow, wide=False)
    add(keys, "new", "print new keys as JSON, for a secret that other tools create", _new, ())


def _rotate(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.auth.keys import rotate
    from lading.auth_composition import open_keys

    given = settings.is_given("keys")
    if not given:
        require_registry(settings)
    store = open_keys(settings.keys, create=not given)
    keys = rotate(store.load())
    store.save(keys)
    row = KeysRow(keys.tokens[0].id, tuple(key.id for key in keys.tokens[1:]))
    Printer.of(parsed).record(row, f"{row.signs} signs; trusted as well: {', '.join(row.trusted)}")


def _new(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.auth.keys import generate_keys, to_json

    print(to_json(generate_keys()).decode())
