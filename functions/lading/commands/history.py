"""`lading history`: who moved which tag. `lading rollback`: a tag names again what it named before."""

import argparse
from datetime import UTC, datetime

from lading.commands.options import (
    REGISTRY,
    CommandError,
    Commands,
    add,
    change_context,
    reference,
    registry,
    registry_errors,
)
from lading.settings import Settings

MAX_EVENTS = 1_000

TIME_FORMAT = "%Y%m%dT%H%M%S.%fZ"
"""As `--at` and `TAG.asof-TIME` take it, to the microsecond: a time without its fraction would be before the move."""


def add_to(commands: Commands) -> None:
    """Add the commands."""
    showing = add(commands, "history", "show who moved which tag, the newest first", _history, REGISTRY)
    showing.add_argument("reference", metavar="REPOSITORY[:TAG]")
    showing.add_argument("--limit", type=int, default=50, metavar="NUMBER", help="moves shown; default 50")
    rolling = add(commands, "rollback", "let a tag name what it named before", _rollback, REGISTRY)
    rolling.add_argument("reference", metavar="REPOSITORY:TAG")
    target = rolling.add_mutually_exclusive_group()
    target.add_argument("--to", metavar="DIGEST", help="this manifest")
    target.add_argument("--steps", type=int, default=1, metavar="NUMBER", help="so many moves back; default 1")
    target.add_argument("--at", metavar="TIME", help="what it named then, as in 2026-11-01T12:00:00Z")


def _history(parsed: argparse.Namespace, settings: Settings) -> None:
    place, store = reference(parsed.reference), registry(settings, writes=False)
    for move in store.tags.history(place.repository, place.tag, "", min(parsed.limit, MAX_EVENTS)).items:
        change = f"{move.before or '(new)'} -> {move.digest or '(deleted)'}"
        print(f"{move.moved:{TIME_FORMAT}}\t{move.tag}\t{move.number}\t{move.action}\t{move.by or '-'}\t{change}")


def _rollback(parsed: argparse.Namespace, settings: Settings) -> None:
    place, rollback = reference(parsed.reference), registry(settings).rollback
    if not place.tag:
        raise CommandError("say which tag: REPOSITORY:TAG")
    with registry_errors():
        if parsed.to:
            digest = parsed.to
            rollback.to_digest(place.repository, place.tag, digest, change_context("rollback"))
        elif parsed.at:
            digest = rollback.to_time(place.repository, place.tag, parse_time(parsed.at), change_context("rollback"))
        else:
            digest = rollback.by_steps(place.repository, place.tag, parsed.steps, change_context("rollback"))
    print(f"{place.repository}:{place.tag} names {digest}")


def parse_time(text: str) -> datetime:
    """A time, in UTC unless it says otherwise: ISO 8601, as in 20261101T120000Z. Raises CommandError."""
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"{text} is not a time such as 2026-11-01T12:00:00Z") from None
    return read if read.tzinfo else read.replace(tzinfo=UTC)
