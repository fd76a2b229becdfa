"""`lading events tail`: print changes as they are published."""

import argparse
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from lading.commands.event_rows import COLUMNS, PublishedRow
from lading.commands.history import parse_time
from lading.commands.options import CommandError, Commands, add, registry, registry_errors
from lading.commands.output import Printer, add_output_options
from lading.commands.source import add_registry_options, refuse_credentials, refuse_stores
from lading.setting_values import duration
from lading.settings import Settings
from lading.terminal_text import escape_lines

if TYPE_CHECKING:
    from lading.commands.event_source import EventSource, Filter

STORE: Final = ("data", "blobs", "metadata")

WAIT: Final = 30
"""Seconds for which a request waits for an event."""

ONCE: Final = timedelta(hours=1)
"""How far --once goes back: as far as events are readable."""

FIRST_DELAY: Final = 1.0
MAX_DELAY: Final = 30.0
"""Seconds before the first attempt to reconnect, each of which waits twice as long, and before every later one."""


MIN_INTERVAL: Final = 1.0
"""Seconds of pause after a request that was to wait and got an empty response at once, as while a server shuts down."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    tail = add(commands, "tail", "print changes as they are published, until interrupted", _tail, STORE)
    tail.add_argument("--repository", metavar="GLOB", default="*", help="of these repositories, such as 'team/*'")
    tail.add_argument("--type", metavar="GLOB", default="*", help="of these types, such as 'tag.*'")
    tail.add_argument(
        "--since", metavar="TIME", help="also what was published since a time, or 10m ago; an hour at most"
    )
    tail.add_argument("--once", action="store_true", help="print what was published within the hour, and end")
    add_registry_options(tail)
    add_output_options(tail, PublishedRow)


def time_or_age(text: str) -> datetime | timedelta:
    """Return the time that an ISO 8601 text names, or how long ago one was. Raises CommandError."""
    try:
        return duration(text)
    except ValueError:
        return parse_time(text)


def _tail(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.commands.event_source import Filter

    since = time_or_age(parsed.since) if parsed.since else ONCE if parsed.once else None
    source = _open(parsed, settings, Filter(parsed.repository, parsed.type, since))
    with registry_errors():
        # A line at a time: the next event may come in an hour.
        Printer.of(parsed).table(COLUMNS, follow(source, parsed.once), batch_size=1)


def _open(parsed: argparse.Namespace, settings: Settings, wanted: "Filter") -> "EventSource":
    from lading.commands.event_source import HttpEvents, StoredEvents

    if parsed.registry is None:
        refuse_credentials(parsed)
        return StoredEvents(registry(settings, writes=False).event_feed, wanted)
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    return HttpEvents(open_connection(parsed), wanted)


def follow(source: "EventSource", once: bool) -> Iterator[PublishedRow]:
    """Yield events as they come, until interrupted, or with `once` until there are no more.

    After an error that may pass, the same read is repeated: the source continues where it was.
    """
    from lading.commands.event_source import Unreachable

    failures, wait = 0, 0 if once else WAIT
    while True:
        began = time.monotonic()
        try:
            page = source.read(wait)
        except Unreachable as error:
            if once:
                raise CommandError(str(error)) from None
            delay = min(MAX_DELAY, FIRST_DELAY * 2**failures)
            failures = min(failures + 1, 10)
            print(escape_lines(f"lading: {error}; the next attempt is in {delay:.0f} s"), file=sys.stderr)
            time.sleep(delay)
            continue
        failures = 0
        yield from page.rows
        if wait and not page.rows and time.monotonic() - began < MIN_INTERVAL:
            time.sleep(MIN_INTERVAL)
        if once and not page.rows and not page.more:
            return
        # What is not settled yet comes later.
        wait = WAIT if not once or (page.more and not page.rows) else 0
