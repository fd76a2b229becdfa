"""`lading gc`: collect the garbage of the registry, in this process."""

import argparse
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from lading.commands.job_report import ReportRow, print_report
from lading.commands.options import REGISTRY, CommandError, Commands, add, refuse_standby, registry
from lading.commands.output import Printer, add_output_options
from lading.commands.progress import JobLine
from lading.commands.rule_options import refuse_looser
from lading.quantity import counted
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.gc.collect import Collector
    from lading.jobs.job_report import JobReport

OPTIONS: Final = (*REGISTRY, "undelete", "grace", "cleanup", "cleanup-mode")


def add_to(commands: Commands) -> None:
    """Add the command."""
    gc = add(commands, "gc", "collect garbage, while serving", _collect, OPTIONS)
    gc.add_argument(
        "--quiesced",
        "--nobody-pushes",
        action="store_true",
        help="mark and sweep without the grace periods; safe only while no client pushes",
    )
    gc.add_argument(
        "--claim",
        action="store_true",
        help="first mark the blob store as this registry's alone; only if no other registry uses it",
    )
    gc.add_argument(
        "--rate",
        type=float,
        default=0.0,
        metavar="RECORDS",
        help="records examined a second at most; default: no limit",
    )
    add_output_options(gc, ReportRow, wide=False)


def _collect(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.composition import collector_of
    from lading.jobs.gc.reserve import released
    from lading.jobs.gc.sweep import GracePeriods
    from lading.registry.change_context import now
    from lading.registry.owner_mark import claim

    refuse_standby(settings)
    opened = registry(settings)
    if parsed.claim:
        claim(opened.objects, opened.metadata)
    refuse_looser(settings, opened)
    none = timedelta(0)
    grace_periods = (
        GracePeriods(grace=none, undelete=opened.rules.read_all().undelete(now()), marked=none, ended_session=none)
        if parsed.quiesced
        else None
    )
    with released(settings.metadata), JobLine() as line:
        report = _run(collector_of(settings, opened, grace_periods), parsed, line)
    print_report(Printer.of(parsed), "garbage collection", report)
    if report.failed:
        raise CommandError(f"{counted(report.failed, 'record')} failed: see above; the next collection tries again")


def _run(collector: "Collector", parsed: argparse.Namespace, line: JobLine) -> "JobReport":
    """Collect to the end, and show failures as they occur.

    Raises:
        CommandError: another process collects.
    """
    # Leave half of the disk's time to a server beside this command; none is needed where no client pushes.
    collector.throttle.rate, collector.throttle.pause_ratio = parsed.rate, 0.0 if parsed.quiesced else 1.0
    report = None
    while report is None or not report.finished:
        report = collector.run(progress=line.job)
        if report is None:
            raise CommandError("another collection is at work; run this one again when that has ended")
        for finding in report.findings:
            line.clear()
            print(f"failed: {finding}", file=sys.stderr)
    return report
