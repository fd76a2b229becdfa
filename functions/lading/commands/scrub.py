"""`lading scrub`: read everything again, and say what is not as it should be."""

import argparse
import json
import sys

from lading.commands.options import REGISTRY, CommandError, Commands, add, registry
from lading.commands.progress import JobLine
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the command."""
    scrubbing = add(commands, "scrub", "check all that is kept against its records, while serving", _scrub, REGISTRY)
    scrubbing.add_argument(
        "--rate", type=_rate, default=100, metavar="MB/S", help="read so much at most, and rest; 0: without a rest"
    )
    scrubbing.add_argument("--repair", action="store_true", help="repair what is safe to repair")


def _scrub(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.jobs.scrub import Scrubber
    from lading.jobs.throttle import Throttle

    throttle = Throttle(bytes_rate=parsed.rate * 1e6, pause_ratio=1.0 if parsed.rate else 0.0)
    scrubber = Scrubber(registry(settings, writes=parsed.repair), parsed.repair, throttle=throttle)
    findings, report = 0, None
    with JobLine() as line:
        while report is None or not report.finished:
            report = scrubber.run(progress=line.job)
            if report is None:
                raise CommandError("another scrub is at work")
            for finding in report.findings:
                print(f"wrong: {finding}", file=sys.stderr)
            findings += len(report.findings)
    print(json.dumps(report.as_json()))
    if findings:
        raise CommandError(f"{findings} things are not as they should be")


def _rate(text: str) -> float:
    """Read a number of megabytes a second, 0 or more."""
    rate = float(text)
    if not 0 <= rate < float("inf"):
        raise ValueError(text)
    return rate
