"""`lading upgrade-check`: compare the schema of the stores with that of this release, before anything is changed."""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from lading.commands import exit_status
from lading.commands.options import STORES, CommandError, Commands, add
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.settings import Settings
from lading_storage.errors import StorageError

if TYPE_CHECKING:
    from lading_storage.stored_version import StoredVersion


class SchemaState(StrEnum):
    """What this release can do with a store: use it, upgrade it at its first start, or not use it."""

    CURRENT = "current"
    OLDER = "older"
    UNUSABLE = "UNUSABLE"


@dataclass(frozen=True, slots=True)
class SchemaRow:
    """A store: the schema version of its content, 0 where it has none, and that of this release."""

    state: SchemaState
    store: str
    stored: int
    release: int
    detail: str


COLUMNS: Final[tuple[Column[SchemaRow], ...]] = (
    Column("STATE", lambda row: row.state, width=8),
    Column("STORE", lambda row: row.store),
    Column("STORED", lambda row: row.stored or None, right=True),
    Column("RELEASE", lambda row: row.release or None, right=True),
    Column("DETAIL", lambda row: row.detail),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    help = "compare the stores' schema with this release, before an upgrade; changes nothing"
    add_output_options(add(commands, "upgrade-check", help, _check, STORES), SchemaRow, wide=False)


def _check(parsed: argparse.Namespace, settings: Settings) -> int:
    from lading.composition import stored_versions

    states: set[SchemaState] = set()

    def rows() -> Iterator[SchemaRow]:
        for store, read in stored_versions(settings):
            row = _row(store, read)
            states.add(row.state)
            yield row

    Printer.of(parsed).table(COLUMNS, rows())
    if SchemaState.UNUSABLE in states:
        raise CommandError("this release cannot use these stores; nothing was changed")
    return exit_status.UPGRADE_NEEDED if SchemaState.OLDER in states else exit_status.OK


def _row(store: str, read: "Callable[[], StoredVersion]") -> SchemaRow:
    try:
        found = read()
    except StorageError as error:
        return SchemaRow(SchemaState.UNUSABLE, store, 0, 0, str(error))
    state, detail = _judged(found)
    return SchemaRow(state, store, found.stored, found.current, detail)


def _judged(found: "StoredVersion") -> tuple[SchemaState, str]:
    """Return the state of a store, and what to do."""
    if found.stored > found.current:
        return SchemaState.UNUSABLE, "a newer release of Lading wrote it: use that release"
    if found.stored == found.current:
        return SchemaState.CURRENT, "nothing to upgrade"
    if found.free_space < found.needed_space:
        needed, free = format_size(found.needed_space), format_size(found.free_space)
        return SchemaState.UNUSABLE, f"the upgrade needs {needed} on its disk, and {free} are free"
    return SchemaState.OLDER, "back it up and end the earlier release; the first start upgrades it"
