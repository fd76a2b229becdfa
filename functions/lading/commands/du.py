"""`lading du`: the disk usage of repositories and tags, its cost, and what the clean-up policies would free."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from lading.commands.options import REGISTRY, CommandError, Commands, add, reference, registry, registry_errors
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.commands.progress import CountedLine
from lading.commands.source import add_registry_options, refuse_credentials, refuse_stores
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.usage import UsageRow, UsageSource


@dataclass(frozen=True, slots=True)
class SizeRow:
    """Bytes of a repository or a tag.

    alone   bytes that nothing else holds
    shared  bytes that something else holds as well
    frees   bytes that the clean-up policies would free; None where the caller may not know it
    """

    name: str
    bytes: int
    alone: int
    shared: int
    frees: int | None


@dataclass(frozen=True, slots=True)
class TotalRow:
    """Bytes of all rows, each counted once, and the cost of storing them on Google Cloud."""

    stored: int
    saved: int
    frees: int | None
    dollars_a_month: float


COLUMNS: Final[tuple[Column[SizeRow], ...]] = (
    Column("NAME", lambda row: row.name),
    Column("BYTES", lambda row: format_size(row.bytes), right=True),
    Column("ALONE", lambda row: format_size(row.alone), right=True),
    Column("SHARED", lambda row: format_size(row.shared), right=True),
    Column("CLEAN-UP WOULD FREE", lambda row: None if row.frees is None else format_size(row.frees), right=True),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    usage = add(commands, "du", "show the disk usage of repositories and tags", _usage, (*REGISTRY, "cleanup"))
    usage.add_argument("repository", metavar="REPOSITORY", nargs="?", help="show its tags; default: all repositories")
    add_registry_options(usage)
    add_output_options(usage, SizeRow, TotalRow, wide=False)


def _usage(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.usage import Usage

    named = reference(parsed.repository, parsed.registry) if parsed.repository else None
    if named and (named.tag or named.digest):
        raise CommandError(f"{parsed.repository} is not a repository; use `lading show {parsed.repository}`")
    progress, printer = CountedLine(), Printer.of(parsed)
    with registry_errors():
        source = _open(parsed, settings)
        if named:
            _require(source, named.repository)
        usage = Usage(source.usage)
        rows = usage.of_tags(named.repository) if named else usage.of_repositories(source.names, progress.count)
        printer.table(COLUMNS, _size_rows(rows), progress)
    total = usage.total
    row = TotalRow(total.blobs + total.manifests, total.saved, total.frees, round(total.monthly, 2))
    printer.record(row, _total_text(row))


class _Source(NamedTuple):
    """Where usage is read: the stores or the management API; the names of all repositories; whether one exists."""

    usage: "UsageSource"
    names: Callable[[], Iterable[str]]
    require: Callable[[str], None]


def _open(parsed: argparse.Namespace, settings: Settings) -> _Source:
    """Return the source that the options name. Raises CommandError, SettingsError."""
    from lading.commands.cleanup import cleanup_context, names_of, trial_context

    if parsed.registry is not None:
        from lading.commands.http_source import open_connection
        from lading.commands.http_usage import HttpUsage

        refuse_stores(parsed)
        usage = HttpUsage(open_connection(parsed), trial_context(settings))
        return _Source(usage, usage.names, usage.require)
    from lading.jobs.usage import StoredUsage

    refuse_credentials(parsed)
    store = registry(settings, writes=False)
    stored = StoredUsage(store, cleanup_context(settings, store, needed=False))
    return _Source(stored, partial(names_of, store), store.tags.require)


def _require(source: _Source, repository: str) -> None:
    """Raise CommandError where a repository does not exist, and RegistryError where the caller may not know it."""
    from lading.registry.errors import NAME_UNKNOWN, RegistryError

    try:
        source.require(repository)
    except RegistryError as error:
        if error.descriptor.code != NAME_UNKNOWN.code:
            raise
        raise CommandError(f"there is no repository {repository}") from None


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
