"""`lading scrub`: read all content again, and report what differs from the records."""

import argparse
import sys

from lading.commands.job_report import ReportRow, print_report
from lading.commands.options import REGISTRY, CommandError, Commands, add, registry
from lading.commands.output import Printer, add_output_options
from lading.commands.progress import JobLine
from lading.quantity import counted
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    scrub = add(commands, "scrub", "check all content against its records, while serving", _scrub, REGISTRY)
    scrub.add_argument(
        "--rate", type=_rate, default=100, metavar="MB/S", help="read this much at most; 0: no limit; default 100"
    )
    scrub.add_argument("--repair", action="store_true", help="repair what can be repaired safely")
    add_output_options(scrub, ReportRow, wide=False)


def _scrub(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.scrub import Scrubber
    from lading.jobs.throttle import Throttle
    from lading.registry.owner_mark import require_own

    opened = registry(settings, writes=parsed.repair)
    if parsed.repair:
        require_own(opened.objects, opened.metadata)
    throttle = Throttle(bytes_rate=parsed.rate * 1e6, pause_ratio=1.0 if parsed.rate else 0.0)
    scrubber = Scrubber(opened, parsed.repair, throttle=throttle)
    findings, report = 0, None
    with JobLine() as line:
        while report is None or not report.finished:
            report = scrubber.run(progress=line.job)
            if report is None:
                raise CommandError("another scrub is at work; run this one again when that has ended")
            for finding in report.findings:
                line.clear()
                print(f"wrong: {finding}", file=sys.stderr)
            findings += len(report.findings)
    print_report(Printer.of(parsed), "scrub", report)
    if findings:
        raise CommandError(f"the scrub has {counted(findings, 'finding')}: see above")


def _rate(text: str) -> float:
    """Return a number of megabytes a second, 0 or more."""
    rate = float(text)
    if not 0 <= rate < float("inf"):
        raise ValueError(text)
    return rate
