"""`lading history`: the history of tags. `lading rollback`: restore what a tag named before."""

import argparse
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    add,
    change_context,
    count,
    digest_prefix,
    reference,
    registry,
    registry_errors,
)
from lading.commands.output import Column, Printer, add_output_options, format_time
from lading.settings import Settings

if TYPE_CHECKING:
    from lading_storage.records.deleted import TagEvent

MAX_EVENTS: Final = 1_000
"""Events that one call shows."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """Event in the history of a tag.

    number  of the event: 1 for the first of its tag
    action  push, delete, rollback, restore, tag, clean-up
    by      the principal, or "" where the credentials named none
    before  the digest that the tag named before, "" where it is new
    digest  the digest that it has named since, "" where it was deleted
    """

    repository: str
    tag: str
    number: int
    time: datetime
    action: str
    by: str
    before: str
    digest: str

    @classmethod
    def of(cls, event: "TagEvent") -> "EventRow":
        """Return the row of a record."""
        return cls(
            repository=event.repository,
            tag=event.tag,
            number=event.number,
            time=event.moved,
            action=event.action,
            by=event.by,
            before=event.before,
            digest=event.digest,
        )


@dataclass(frozen=True, slots=True)
class TagRow:
    """Tag, and the digest that it names after a change."""

    repository: str
    tag: str
    digest: str


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
    add_output_options(history, EventRow)
    rollback = add(commands, "rollback", "set a tag to a manifest that it named before", _rollback, REGISTRY)
    rollback.add_argument("reference", metavar="REPOSITORY:TAG")
    target = rollback.add_mutually_exclusive_group()
    target.add_argument("--to", metavar="DIGEST", help="to this manifest")
    target.add_argument("--steps", type=count, default=1, metavar="NUMBER", help="back by this many events; default 1")
    target.add_argument("--at", metavar="TIME", help="to what it named at a time, such as 2026-11-01T12:00:00Z")
    add_output_options(rollback, TagRow)


def _history(parsed: argparse.Namespace, settings: Settings) -> None:
    target, store = reference(parsed.reference), registry(settings, writes=False)
    events = store.tags.history(target.repository, target.tag, "", min(parsed.limit, MAX_EVENTS)).items
    if not events:
        with registry_errors():
            store.tags.require(target.repository, deleted=True)
        if target.tag:
            raise CommandError(f"there is no history of {parsed.reference}")
    Printer.of(parsed).table(EVENT_COLUMNS, map(EventRow.of, events))


def _rollback(parsed: argparse.Namespace, settings: Settings) -> None:
    target, store = reference(parsed.reference), registry(settings)
    if not target.tag:
        raise CommandError(f"{parsed.reference} names no tag; use REPOSITORY:TAG")
    repository, tag, context = target.repository, target.tag, change_context("rollback")
    rollback = store.rollback
    with registry_errors():
        if parsed.to:
            digest = store.inspection.find_digest(repository, digest_prefix(parsed.to))
            rollback.to_digest(repository, tag, digest, context)
        elif parsed.at:
            digest = rollback.to_time(repository, tag, parse_time(parsed.at), context)
        else:
            digest = rollback.by_steps(repository, tag, parsed.steps, context)
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
