"""`lading events replay`: publish the events of a time again."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from lading.commands.events_tail import time_or_age
from lading.commands.options import (
    CommandError,
    Commands,
    add,
    add_yes,
    change_context,
    confirm,
    metadata,
    reference,
    refuse_standby,
)
from lading.commands.output import Column, Printer, add_output_options
from lading.json_values import rfc3339
from lading.quantity import counted
from lading.settings import Settings
from lading_storage.protocols import MetadataStore
from lading_storage.records.core import Key, Repository

if TYPE_CHECKING:
    from lading.events.replay import Replay, Replayed

STORE: Final = ("data", "metadata")

MAX_UNCONFIRMED: Final = 1_000
"""Events of the whole registry that are published again without a question."""


@dataclass(frozen=True, slots=True)
class ReplayRow:
    """Events of a repository that were made anew, and those of them that were put into the outbox."""

    repository: str
    events: int
    created: int

    @classmethod
    def of(cls, replayed: "Replayed") -> "ReplayRow":
        """Return the row of an outcome."""
        return cls(replayed.repository, replayed.events, replayed.created)


COLUMNS: Final[tuple[Column[ReplayRow], ...]] = (
    Column("REPOSITORY", lambda row: row.repository),
    Column("EVENTS", lambda row: row.events, right=True),
    Column("CREATED", lambda row: row.created, right=True),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    replay = add(commands, "replay", "publish the events of a time again, with the same ids", _replay, STORE)
    replay.add_argument("--since", required=True, metavar="TIME", help="from this time on, or from 2d ago")
    replay.add_argument("--until", metavar="TIME", help="up to this time, or up to 1d ago; default now")
    replay.add_argument("--repository", metavar="REPOSITORY", help="of this repository; default all")
    replay.add_argument("--dry-run", action="store_true", help="only count them")
    add_yes(replay)
    add_output_options(replay, ReplayRow, wide=False)


def _replay(parsed: argparse.Namespace, settings: Settings) -> None:
    """Replay.

    Raises:
        CommandError: the range is empty, there is no such repository, one has too many events, or the question was not
            answered with yes.
        Unconfirmed: there are many events, and standard input is no terminal.
    """
    from lading.events.replay import Replay, TimeRange, TooManyEvents

    since, until = (_time(each) if each else datetime.now(UTC) for each in (parsed.since, parsed.until))
    if since > until:
        raise CommandError(f"--since {parsed.since} is later than {parsed.until or 'now'}; nothing is between them")
    name = _name(parsed.repository) if parsed.repository else ""
    if not parsed.dry_run:
        refuse_standby(settings)
    store = metadata(settings, upgrade=not parsed.dry_run)
    if name:
        _require(store, name)
    replay = Replay(store, TimeRange(since, until))
    try:
        if not name and not parsed.dry_run:
            _confirm(parsed, replay)
        _print(parsed, replay, name)
    except TooManyEvents as error:
        raise CommandError(str(error)) from None
    finally:
        if replay.has_created:
            _audit(settings, name, f"{rfc3339(since)}/{rfc3339(until)}")


def _time(text: str) -> datetime:
    """Return a time, also one that is given by how long ago it was. Raises CommandError."""
    found = time_or_age(text)
    return datetime.now(UTC) - found if isinstance(found, timedelta) else found


def _confirm(parsed: argparse.Namespace, replay: "Replay") -> None:
    events, repositories = replay.count(replay.repositories())
    if events > MAX_UNCONFIRMED:
        places = counted(repositories, "repository")
        confirm(parsed, f"{counted(events, 'event')} of {places} would be published again. Continue?")


def _print(parsed: argparse.Namespace, replay: "Replay", name: str) -> None:
    """Replay a repository, or all, and print what was done."""
    created = 0

    def rows() -> Iterator[ReplayRow]:
        nonlocal created
        for each in replay.run([name] if name else replay.repositories(), dry_run=parsed.dry_run):
            created += each.created
            yield ReplayRow.of(each)

    printer = Printer.of(parsed)
    printer.table(COLUMNS, rows())
    verb = "would be put" if parsed.dry_run else "were put"
    printer.note(f"{counted(created, 'event')} {verb} into the outbox, from which they are published")


def _audit(settings: Settings, name: str, time: str) -> None:
    from lading import audit, logs
    from lading.registry.changes import Change

    logs.start(settings.log, settings.project, settings.log_level)
    audit.record_command(change_context("replay").actor, "manage", name, Change("events-replayed"), reference=time)


def _require(store: MetadataStore, repository: str) -> None:
    """Raise CommandError unless the store has a repository, which may be deleted."""
    key = Key(Repository, repository)
    if store.read([key])[key] is None:
        raise CommandError(f"there is no repository {repository}; `lading ls` lists the repositories")


def _name(text: str) -> str:
    target = reference(text)
    if target.tag or target.digest:
        raise CommandError(f"--repository {text} names more than a repository; use {target.repository}")
    return target.repository
