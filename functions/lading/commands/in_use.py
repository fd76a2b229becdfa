"""`lading in-use`: in-use reports, which say what runs somewhere, so that clean-up keeps it.

A deployer reports it; the registry asks no cluster.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lading.commands.options import REGISTRY, CommandError, Commands, add, add_group, registry
from lading.commands.output import Column, Printer, add_output_options
from lading.quantity import counted
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.registry.registry import Registry

FORMER_NAME: Final = "running"
"""The command's name in release 0.1, which still works."""


@dataclass(frozen=True, slots=True)
class InUseRow:
    """Reference or digest that a source reports as in use."""

    source: str
    reference: str
    reported: datetime


@dataclass(frozen=True, slots=True)
class ReportRow:
    """Report that was stored, and the number of its references."""

    source: str
    references: int


COLUMNS: Final[tuple[Column[InUseRow], ...]] = (
    Column("SOURCE", lambda row: row.source),
    Column("REFERENCE", lambda row: row.reference),
    Column("REPORTED", lambda row: row.reported),
    Column("AGE", lambda row: counted((datetime.now(UTC) - row.reported).days, "day"), right=True),
)


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "in-use", "report what runs somewhere, so that clean-up keeps it", [FORMER_NAME])
    report = add(group, "report", "keep the digests and references on standard input, one a line", _report, REGISTRY)
    report.add_argument(
        "source", metavar="SOURCE", help="who reports, such as cluster-1; replaces the earlier report of this source"
    )
    add_output_options(report, ReportRow, wide=False)
    add_output_options(add(group, "list", "list what was reported", _list, REGISTRY), InUseRow)
    forget = add(group, "forget", "remove the report of a source", _forget, REGISTRY)
    forget.add_argument("source", metavar="SOURCE")


def _report(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.registry.in_use import InUseReportError

    try:
        report = registry(settings).in_use_reports.report(parsed.source, sys.stdin)
    except InUseReportError as error:
        raise CommandError(str(error)) from None
    row = ReportRow(report.id, len(report.references))
    Printer.of(parsed).record(row, f"clean-up keeps {counted(row.references, 'reference')} that {row.source} reports")


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    Printer.of(parsed).table(COLUMNS, _rows(registry(settings, writes=False)))


def _rows(store: "Registry") -> Iterator[InUseRow]:
    for report in store.in_use_reports.all():
        for reference in report.references:
            yield InUseRow(report.id, reference, report.reported)


def _forget(parsed: argparse.Namespace, settings: Settings) -> None:
    if not registry(settings).in_use_reports.forget(parsed.source):
        raise CommandError(f"{parsed.source} has reported nothing")
