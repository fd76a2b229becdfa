"""`lading ls`: list repositories, or the tags of one."""

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from lading.commands.options import REGISTRY, CommandError, Commands, add, count, reference, registry_errors
from lading.commands.output import Column, Printer, add_output_options, format_size
from lading.commands.scan_text import scan_cell
from lading.commands.signature_text import signed_cell
from lading.commands.source import add_registry_options, open_source
from lading.registry.details import RepositorySummary, TagSummary
from lading.settings import Settings
from lading.terminal_text import escape

if TYPE_CHECKING:
    from lading.registry.pagination import Page

T = TypeVar("T")

DEFAULT_LIMIT: Final = 100

DAMAGED: Final = "(damaged)"
"""Instead of the size of a manifest whose bytes, or those of a manifest below it, cannot be read."""

REPOSITORY_COLUMNS: Final[tuple[Column[RepositorySummary], ...]] = (
    Column("REPOSITORY", lambda row: row.name),
    Column("CREATED", lambda row: row.created),
)

TAG_COLUMNS: Final[tuple[Column[TagSummary], ...]] = (
    Column("TAG", lambda row: row.tag),
    Column("DIGEST", lambda row: row.digest),
    Column("SIZE", lambda row: DAMAGED if row.size is None else format_size(row.size), right=True),
    Column("PUSHED", lambda row: row.pushed),
    Column("LAST PULL", lambda row: row.last_pull),
    Column("SCAN", lambda row: scan_cell(row.scan)),
    Column("SIGNED", lambda row: signed_cell(row.signed)),
)


def add_to(commands: Commands) -> None:
    """Add the command."""
    listing = add(commands, "ls", "list repositories, or the tags of a repository", _list, REGISTRY)
    listing.add_argument("repository", metavar="REPOSITORY", nargs="?", help="list its tags; default: all repositories")
    listing.add_argument(
        "--limit", type=count, default=DEFAULT_LIMIT, metavar="NUMBER", help=f"0: all; default {DEFAULT_LIMIT}"
    )
    add_registry_options(listing)
    listing.add_argument("--after", default="", metavar="NAME", help="begin after this repository or tag")
    add_output_options(listing, RepositorySummary, TagSummary)


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    name = reference(parsed.repository, parsed.registry) if parsed.repository else None
    if name and (name.tag or name.digest):
        raise CommandError(f"{parsed.repository} is not a repository; use `lading show {parsed.repository}`")
    source, printer = open_source(parsed, settings), Printer.of(parsed)
    with registry_errors():
        if name is None:
            printer.table(REPOSITORY_COLUMNS, _pages(parsed, source.repositories))
        else:
            printer.table(TAG_COLUMNS, _pages(parsed, partial(source.tags, name.repository)))


def _pages(parsed: argparse.Namespace, read: "Callable[[str, int], Page[T]]") -> Iterator[T]:
    """Return the rows that are shown, and note at the end on standard error how to list the others."""
    after, remaining = parsed.after, parsed.limit or sys.maxsize
    while True:
        page = read(after, remaining)
        yield from page.items
        after, remaining = page.next, remaining - len(page.items)
        if not after:
            return
        if not remaining:
            break
    print(f"more: {escape(again_after(parsed, after))}", file=sys.stderr)


def again_after(parsed: argparse.Namespace, after: str) -> str:
    """Return the command line of this process, with all its options, to list what comes after a name."""
    words = [word for word in parsed.arguments if not word.startswith("--after=")]
    if "--after" in words:
        at = words.index("--after")
        words[at : at + 2] = []
    return shlex.join(["lading", *words, "--after", after])
