"""`lading du`: the disk usage of repositories and tags, its cost, and what the clean-up policies would free."""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from lading.commands.options import REGISTRY, CommandError, Commands, add, registry
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.commands.progress import CountedLine
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.usage import UsageRow


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Bytes of a repository or a tag.

    alone   bytes that nothing else holds
    shared  bytes that something else holds as well
    frees   bytes that the clean-up policies would free
    """

    name: str
    bytes: int
    alone: int
    shared: int
    frees: int


@dataclass(frozen=True, slots=True)
class TotalRow:
    """Bytes of all rows, each counted once, and the cost of storing them on Google Cloud."""

    stored: int
    saved: int
    frees: int
    dollars_a_month: float


COLUMNS: Final[tuple[Column[SizeRow], ...]] = (
    Column("NAME", lambda row: row.name),
    Column("BYTES", lambda row: format_size(row.bytes), right=True),
    Column("ALONE", lambda row: format_size(row.alone), right=True),
    Column("SHARED", lambda row: format_size(row.shared), right=True),
    Column("CLEAN-UP WOULD FREE", lambda row: format_size(row.frees), right=True),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    usage = add(commands, "du", "show the disk usage of repositories and tags", _usage, (*REGISTRY, "cleanup"))
    usage.add_argument("repository", metavar="REPOSITORY", nargs="?", help="show its tags; default: all repositories")
    add_output_options(usage, SizeRow, TotalRow, wide=False)


def _usage(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.commands.cleanup import cleanup_context, has_repository, names_of
    from lading.jobs.usage import Usage

    store, progress, printer = registry(settings, writes=False), CountedLine(), Printer.of(parsed)
    usage = Usage(store, cleanup_context(settings, store, needed=False))
    if parsed.repository and not has_repository(store, parsed.repository):
        raise CommandError(f"there is no repository {parsed.repository}")
    repositories = partial(names_of, store)
    rows = (
        usage.of_tags(parsed.repository) if parsed.repository else usage.of_repositories(repositories, progress.count)
    )
    printer.table(COLUMNS, _size_rows(rows), progress)
    total = usage.total
    row = TotalRow(total.blobs + total.manifests, total.saved, total.frees, round(total.monthly, 2))
    printer.record(row, _total_text(row))


def _size_rows(rows: "Iterable[UsageRow]") -> Iterator[SizeRow]:
    return (SizeRow(row.name, row.bytes, row.exclusive, row.shared, row.frees) for row in rows)


def _total_text(total: TotalRow) -> str:
    from lading.jobs.prices import BLOBS, RECORDS

    prices = (
        f"  ${price.dollars} a GiB: {price.what} ({f'read on {price.read}' if price.read else 'not confirmed'})"
        for price in (BLOBS, RECORDS)
    )
    stored = f"stored {format_size(total.stored)}; sharing saves {format_size(total.saved)}"
    bill = f"on Google Cloud about ${total.dollars_a_month:.2f} a month, without requests and traffic:"
    return "\n".join([stored, bill, *prices])
