"""`lading events`: what waits to be published, and its publication. Reading and replay have modules of their own."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from lading.commands import events_replay, events_tail
from lading.commands.options import CommandError, Commands, Parser, add, add_group, metadata, refuse_standby
from lading.commands.output import Column, Printer, add_output_options
from lading.quantity import counted
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.events.publish_report import PublishReport
    from lading.events.publish_runs import PublishRuns

STORE: Final = ("data", "metadata")
PUBLISH: Final = (*STORE, "keys", "url", "events-topic", "notifications-topic", "webhook-networks")

RUN_LIMIT: Final = timedelta(hours=1)
WATCH_LIMIT: Final = timedelta(seconds=5)
"""Of a run with --watch: then, what was committed meanwhile is published before further deliveries."""

WATCH_INTERVAL: Final = 1.0
"""Seconds between two runs with --watch."""

MAX_WATCH_DELAY: Final = 60.0
"""Seconds after several runs that failed."""


@dataclass(frozen=True, slots=True)
class StalledRow:
    """Repository whose events a topic refuses; `next` is when it is tried again."""

    repository: str
    topics: tuple[str, ...]
    attempts: int
    since: datetime
    next: datetime
    error: str


@dataclass(frozen=True, slots=True)
class StatusRow:
    """What waits to be published; a count of 1,000 stands for that many or more."""

    waiting: int
    oldest: datetime | None
    oldest_seconds: int
    deliveries_waiting: int
    deliveries_dead: int
    stalled: Sequence[StalledRow]


@dataclass(frozen=True, slots=True)
class PublishRow:
    """What a run published and refused, and what still waits; `down` and `stalled` have reasons, by name."""

    published: int
    refused: int
    waiting: int
    oldest_seconds: float
    down: dict[str, str]
    stalled: dict[str, str]
    deliveries: dict[str, int]

    @classmethod
    def of(cls, report: "PublishReport") -> "PublishRow":
        """Return the row of a report."""
        fields = report.as_json()
        return cls(**{name: fields[name] for name in cls.__slots__})

    @property
    def sentence(self) -> str:
        """The row for people."""
        deliveries = ", ".join(f"{count} {state}" for state, count in self.deliveries.items() if count)
        return (
            f"{counted(self.published, 'event')} published, {self.waiting} still waiting"
            f"{f'; deliveries: {deliveries}' if deliveries else ''}"
        )


STALLED: Final[tuple[Column[StalledRow], ...]] = (
    Column("REPOSITORY", lambda row: row.repository),
    Column("TOPICS", lambda row: row.topics),
    Column("ATTEMPTS", lambda row: row.attempts, right=True),
    Column("SINCE", lambda row: row.since),
    Column("NEXT", lambda row: row.next),
    Column("ERROR", lambda row: row.error),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    events = add_group(commands, "events", "events: what changed in the registry, for topics and webhooks")
    add_output_options(add(events, "status", "show what waits to be published", _status, STORE), StatusRow)
    publish: Parser = add(
        events, "publish", "publish what waits, as `lading serve` and the cloud do", _publish, PUBLISH
    )
    publish.add_argument("--watch", action="store_true", help="continue until interrupted: once a second")
    add_output_options(publish, PublishRow, wide=False)
    events_tail.add_to(events)
    events_replay.add_to(events)


def _status(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.events.status import MAX_COUNTED, status_of

    found, printer = status_of(metadata(settings, upgrade=False)), Printer.of(parsed)
    stalled = tuple(
        StalledRow(each.id, each.sinks, each.attempts, each.since, each.next, each.error) for each in found.stalled
    )
    age = (datetime.now(UTC) - found.oldest).total_seconds() if found.oldest else 0
    row = StatusRow(
        found.waiting,
        found.oldest,
        max(0, int(age)),
        found.deliveries["waiting"],
        found.deliveries["dead"],
        stalled,
    )
    if printer.json:
        printer.record(row, "")
        return

    def number(count: int) -> str:
        return f"{count} or more" if count == MAX_COUNTED else str(count)

    printer.fields(
        {
            "events waiting": number(row.waiting),
            "oldest": f"{printer.text(row.oldest)}, {row.oldest_seconds} s ago" if row.oldest else None,
            "deliveries waiting": number(row.deliveries_waiting),
            "deliveries dead": number(row.deliveries_dead),
            "stalled repositories": number(len(stalled)),
        }
    )
    printer.table(STALLED, stalled)


def _publish(parsed: argparse.Namespace, settings: Settings) -> None:
    """Publish once, or until interrupted.

    Raises:
        CommandError: a topic is down, or refuses events.
    """
    printer = Printer.of(parsed)
    if parsed.watch:
        _watch(settings, printer)
    row = PublishRow.of(_open_runs(settings).run(RUN_LIMIT))
    printer.record(row, row.sentence)
    if problems := {**row.down, **row.stalled}:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in problems.items())
        raise CommandError(f"{reasons}; nothing is lost: run this again when that is repaired")


def _open_runs(settings: Settings) -> "PublishRuns":
    """Open the publisher of a registry. Raises CommandError for a standby, StoreNotFound where there is none."""
    from lading.events.publish_runs import PublishRuns
    from lading.publisher_composition import open_publisher
    from lading.webhook_composition import open_delivery_run

    refuse_standby(settings)
    store = metadata(settings)
    return PublishRuns(open_publisher(settings, store), open_delivery_run(settings, store).run)


def _watch(settings: Settings, printer: Printer) -> NoReturn:
    """Publish until interrupted, and print what is done. A store that is down, or not yet created, is tried again."""
    from lading.events.publish_runs import rest_after
    from lading_storage.errors import ForeignStore, StoreNotFound, Unavailable

    failures, runs = 0, None
    while True:
        try:
            runs = runs or _open_runs(settings)
            report = runs.run(WATCH_LIMIT)
        except ForeignStore:
            raise
        except (Unavailable, StoreNotFound) as error:
            delay = min(WATCH_INTERVAL * 2**failures, MAX_WATCH_DELAY)
            failures = min(failures + 1, 10)
            print(f"{error}; the next attempt is in {delay:.0f} s", file=sys.stderr)
            time.sleep(delay)
            continue
        failures, row = 0, PublishRow.of(report)
        if row.published or row.refused or report.has_failed_sink or any(row.deliveries.values()):
            printer.record(row, row.sentence)
        for name, reason in {**(row.down if report.has_failed_sink else {}), **row.stalled}.items():
            print(f"{name}: {reason}", file=sys.stderr)
        time.sleep(max(WATCH_INTERVAL, rest_after(report)))
