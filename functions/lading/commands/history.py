"""`lading history`: the history of tags. `lading rollback`: restore what a tag named before."""

import argparse
from datetime import UTC, datetime
from typing import Final

from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    add,
    count,
    digest_prefix,
    reference,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options, format_time
from lading.commands.rows import EventRow, RollbackTarget, TagRow
from lading.commands.source import add_registry_options, open_source
from lading.settings import Settings

MAX_EVENTS: Final = 1_000
"""Events that one call shows."""


EVENT_COLUMNS: Final[tuple[Column[EventRow], ...]] = (
    # To the microsecond, as --at takes it: without its fraction a time would precede the event.
    Column("TIME", lambda row: format_time(row.time, wide=True)),
    Column("TAG", lambda row: row.tag),
    Column("NUMBER", lambda row: row.number, right=True),
    Column("ACTION", lambda row: row.action),
    Column("BY", lambda row: row.by),
    Column("CHANGE", lambda row: f"{row.before or '(new)'} -> {row.digest or '(deleted)'}"),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    history = add(commands, "history", "show the changes of tags and who made them, newest first", _history, REGISTRY)
    history.add_argument("reference", metavar="REPOSITORY[:TAG]")
    history.add_argument(
        "--limit", type=count, default=50, metavar="NUMBER", help=f"events shown, {MAX_EVENTS} at most; default 50"
    )
    add_registry_options(history)
    add_output_options(history, EventRow)
    rollback = add(commands, "rollback", "set a tag to a manifest that it named before", _rollback, REGISTRY)
    rollback.add_argument("reference", metavar="REPOSITORY:TAG")
    target = rollback.add_mutually_exclusive_group()
    target.add_argument("--to", metavar="DIGEST", help="to this manifest")
    target.add_argument("--steps", type=count, default=1, metavar="NUMBER", help="back by this many events; default 1")
    target.add_argument("--at", metavar="TIME", help="to what it named at a time, such as 2026-11-01T12:00:00Z")
    add_registry_options(rollback)
    add_output_options(rollback, TagRow)


def _history(parsed: argparse.Namespace, settings: Settings) -> None:
    target, source = reference(parsed.reference, parsed.registry), open_source(parsed, settings)
    with registry_errors():
        events = source.history(target.repository, target.tag, min(parsed.limit, MAX_EVENTS))
    if not events and target.tag:
        raise CommandError(f"there is no history of {parsed.reference}")
    Printer.of(parsed).table(EVENT_COLUMNS, events)


def _rollback(parsed: argparse.Namespace, settings: Settings) -> None:
    target, source = reference(parsed.reference, parsed.registry), open_source(parsed, settings, writes=True)
    if not target.tag:
        raise CommandError(f"{parsed.reference} names no tag; use REPOSITORY:TAG")
    repository, tag = target.repository, target.tag
    to = RollbackTarget(
        digest=digest_prefix(parsed.to) if parsed.to else "",
        at=parse_time(parsed.at) if parsed.at else None,
        steps=parsed.steps,
    )
    with registry_errors():
        digest = source.rollback(repository, tag, to)
    Printer.of(parsed).record(TagRow(repository, tag, digest), f"{repository}:{tag} names {digest}")


def parse_time(text: str) -> datetime:
    """Return the time that an ISO 8601 text such as 20261101T120000Z names, in UTC unless it has an offset.

    Raises:
        CommandError: it is no such text.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text} is not a time such as 2026-11-01T12:00:00Z") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
