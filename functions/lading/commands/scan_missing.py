"""`lading scan-missing`: request the scans of images that were pushed while images were not scanned."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from lading.commands import exit_status
from lading.commands.options import STORES, CommandError, Commands, add, change_context, registry, registry_errors
from lading.commands.output import Column, Printer, add_output_options
from lading.commands.progress import CountedLine
from lading.commands.source import add_registry_options, refuse_credentials, refuse_stores
from lading.quantity import counted
from lading.settings import Settings
from lading.terminal_text import escape

if TYPE_CHECKING:
    from lading.client.connection import Connection


@dataclass(frozen=True, slots=True)
class RequestedRow:
    """Repository, and the number of its images whose scan was requested now."""

    repository: str
    requested: int


COLUMNS: Final[tuple[Column[RequestedRow], ...]] = (
    Column("REPOSITORY", lambda row: row.repository),
    Column("REQUESTED", lambda row: row.requested, right=True),
)


class MissingSource(Protocol):
    """A registry, as the command sees it. Each method raises RegistryError, or ClientError."""

    def names(self) -> Iterator[str]:
        """Return the names of all repositories."""
        ...

    def request(self, repository: str) -> int:
        """Request the scans of all images of a repository that have no facts; return their number."""
        ...


class StoreMissing:
    """The registry in the stores."""

    def __init__(self, settings: Settings) -> None:
        """Open it. Raises CommandError where images are not scanned, and as options.registry."""
        from lading.registry.scans.missing import SCANS_OFF
        from lading.scan_composition import scans_images

        self._settings = settings
        self._registry = registry(settings)
        if not scans_images(settings):
            raise CommandError(SCANS_OFF)

    def names(self) -> Iterator[str]:
        """See MissingSource."""
        from lading.commands.cleanup import names_of

        return names_of(self._registry)

    def request(self, repository: str) -> int:
        """See MissingSource."""
        requested, after, has_more = 0, "", True
        try:
            while has_more:
                page = self._registry.scans.missing.request(repository, after)
                requested, after, has_more = requested + len(page.items), page.next, bool(page.next)
        finally:
            if requested:
                self._audit(repository)
        return requested

    def _audit(self, repository: str) -> None:
        from lading import audit, logs
        from lading.registry.changes import Change

        logs.start(self._settings.log, self._settings.project, self._settings.log_level)
        by = change_context("scan-missing").actor
        audit.record_command(by, "push", repository, Change("scan-requested"), reference="missing")


class HttpMissing:
    """The registry over HTTP."""

    def __init__(self, connection: "Connection") -> None:
        """Make requests over `connection`."""
        from lading.commands.http_listing import HttpListing
        from lading.commands.http_source import HttpSource

        self._connection = connection
        self._listing = HttpListing(connection)
        self._source = HttpSource(connection)

    def names(self) -> Iterator[str]:
        """See MissingSource: those that the caller may pull from."""
        from lading.commands.http_listing import MAX_PAGE

        after, has_more = "", True
        while has_more:
            page = self._source.repositories(after, MAX_PAGE)
            yield from (each.name for each in page.items)
            after, has_more = page.next, bool(page.next)

    def request(self, repository: str) -> int:
        """See MissingSource."""
        from lading.commands.http_listing import below

        path, scope = below(repository, "scan")
        requested, after, has_more = 0, "", True
        while has_more:
            found = self._connection.request("POST", path, scope, {"missing": "true", "last": after})
            count, next = found.get("requested"), self._listing.text(found, "next")
            if not isinstance(count, int) or (next and next <= after):
                raise self._listing.wrong("it is no page of requested scans")
            requested, after, has_more = requested + count, next, bool(next)
        return requested


def add_to(commands: Commands) -> None:
    """Add the command."""
    help = "request the scans of images that were pushed while images were not scanned"
    missing = add(commands, "scan-missing", help, _request, (*STORES, "scan", "scanner"))
    missing.add_argument("repositories", metavar="REPOSITORY", nargs="*", help="globs; default: all repositories")
    add_registry_options(missing)
    add_output_options(missing, RequestedRow, wide=False)


def _request(parsed: argparse.Namespace, settings: Settings) -> int:
    printer = Printer.of(parsed)
    with registry_errors(), CountedLine() as progress:
        walk = _Walk(_open(parsed, settings), parsed.repositories, progress)
        printer.table(COLUMNS, walk.rows(), progress, batch_size=1)
    printer.note(f"{counted(walk.requested, 'image')} will be scanned")
    return exit_status.FAILED if walk.has_refused else exit_status.OK


class _Walk:
    """Walk over repositories: one at a time is in memory, and each is reported when it is done."""

    def __init__(self, source: MissingSource, globs: Sequence[str], progress: CountedLine) -> None:
        """Walk over the repositories that match one of `globs`, or over all."""
        self._source = source
        self._globs = globs
        self._progress = progress
        self.requested = 0
        self.has_refused = False

    def rows(self) -> Iterator[RequestedRow]:
        """Request the scans; return the repositories with any. Where the caller may not push is said and left out."""
        from lading.registry.errors import DENIED, RegistryError
        from lading.registry.globs import matches

        for name in self._source.names():
            if self._globs and not any(matches(glob, name) for glob in self._globs):
                continue
            self._progress.count("repositories", name)
            try:
                requested = self._source.request(name)
            except RegistryError as error:
                if error.descriptor.code != DENIED.code:
                    raise
                self.has_refused = True
                self._progress.clear()
                print(f"{escape(name)}: {escape(str(error))}", file=sys.stderr)
                continue
            self.requested += requested
            if requested:
                yield RequestedRow(name, requested)


def _open(parsed: argparse.Namespace, settings: Settings) -> MissingSource:
    """Return the registry that the options name. Raises CommandError, StorageError."""
    if parsed.registry is None:
        refuse_credentials(parsed)
        return StoreMissing(settings)
    from lading.commands.http_source import open_connection

    refuse_stores(parsed)
    return HttpMissing(open_connection(parsed))
