"""What a job did, as commands print it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lading.commands.output import Column, Printer, format_size, to_json

if TYPE_CHECKING:
    from lading.jobs.job_report import JobReport


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What a job did.

    finished     whether it came to its end
    phase        the last one
    failed       records whose step failed
    freed_bytes  bytes of the objects that were removed
    counts       how many records were dealt with, by what was done
    findings     the last ones; all are on standard error
    """

    finished: bool
    phase: str
    seconds: float
    failed: int
    freed_bytes: int
    counts: Mapping[str, int]
    findings: Sequence[str]


@dataclass(frozen=True, slots=True)
class CountRow:
    """How many records a job dealt with in one way."""

    what: str
    count: int


COLUMNS: Final[tuple[Column[CountRow], ...]] = (
    Column("WHAT", lambda row: row.what),
    Column("COUNT", lambda row: row.count, right=True),
)


def print_report(printer: Printer, job: str, report: "JobReport") -> None:
    """Print a job's report: the JSON of JobReport.as_json, or a sentence and a table of the counts."""
    from lading.jobs.job_report import BYTES_FREED

    if printer.json:
        print(to_json(ReportRow(**report.as_json())))
        return
    print(f"{job} finished in {report.seconds:.1f} s; {format_size(report.counts[BYTES_FREED])} freed")
    printer.table(COLUMNS, _rows(report))


def _rows(report: "JobReport") -> Iterator[CountRow]:
    from lading.jobs.job_report import BYTES_FREED

    return (CountRow(what, count) for what, count in sorted(report.counts.items()) if what != BYTES_FREED)
