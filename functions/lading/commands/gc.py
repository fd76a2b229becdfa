"""`lading gc`: collect garbage, here and now, in the stores of the settings."""

import argparse
import json
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

from lading.commands.options import REGISTRY, CommandError, Commands, add, refuse_standby
from lading.commands.progress import JobLine
from lading.settings import Settings

if TYPE_CHECKING:
    from lading.jobs.gc.collect import Collector
    from lading.jobs.runner import JobReport


def add_to(commands: Commands) -> None:
    """Add the command."""
    collecting = add(
        commands,
        "gc",
        "collect garbage, while serving",
        _collect,
        (*REGISTRY, "undelete", "grace", "cleanup", "cleanup-mode"),
    )
    collecting.add_argument(
        "--nobody-pushes",
        action="store_true",
        help="wait for nobody: condemn and remove at once, as is safe when no client pushes",
    )

    collecting.add_argument(
        "--rate", type=float, default=0.0, metavar="RECORDS", help="look at so many a second at most; default: no limit"
    )


def _collect(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.composition import open_collector
    from lading.jobs.gc.reserve import released
    from lading.jobs.gc.sweep import GracePeriods

    refuse_standby(settings)
    none = timedelta(0)
    waits = (
        GracePeriods(grace=none, undelete=settings.undelete, marked=none, ended_session=none)
        if parsed.nobody_pushes
        else None
    )
    with released(settings.metadata), JobLine() as line:
        report = _run(open_collector(settings, waits, create=False), parsed, line)
    print(json.dumps(report.as_json()))
    if report.failed:
        raise CommandError(f"{report.failed} records failed: see above; the next collection tries them again")


def _run(collector: "Collector", parsed: argparse.Namespace, line: JobLine) -> "JobReport":
    """Collect to the end, and show what failed. Raises CommandError."""
    # What is served beside it has the disk half of the time; where nobody pushes, nobody needs it.
    collector.throttle.rate, collector.throttle.pause_ratio = parsed.rate, 0.0 if parsed.nobody_pushes else 1.0
    report = None
    while report is None or not report.finished:
        report = collector.run(progress=line.job)
        if report is None:
            raise CommandError("another collection is at work; what it leaves, the next one finds")
        for finding in report.findings:
            line.clear()
            print(f"failed: {finding}", file=sys.stderr)
    return report
