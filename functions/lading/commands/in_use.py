"""`lading running`: what runs somewhere, so that clean-up keeps it. A deployer reports it; nobody is asked."""

import argparse
import sys
from datetime import UTC, datetime

from lading.commands.options import REGISTRY, CommandError, Commands, add, add_group, registry
from lading.settings import Settings


def add_to(commands: Commands) -> None:
    """Add the commands."""
    group = add_group(commands, "running", "what runs somewhere, and is kept by clean-up")
    reporting = add(
        group, "report", "keep what runs: digests and references on standard input, a line each", _report, REGISTRY
    )
    reporting.add_argument(
        "source", metavar="SOURCE", help="who reports, as in cluster-1; replaces what it reported before"
    )
    add(group, "list", "list what was reported", _list, REGISTRY)
    forgetting = add(group, "forget", "keep nothing for a source any longer", _forget, REGISTRY)
    forgetting.add_argument("source", metavar="SOURCE")


def _report(parsed: argparse.Namespace, settings: Settings) -> None:
    from lading.registry.cleanup.in_use import InUseReportError

    try:
        running = registry(settings).in_use_reports.report(parsed.source, sys.stdin)
    except InUseReportError as error:
        raise CommandError(str(error)) from None
    print(f"{running.id}\t{len(running.references)} references are kept")


def _list(parsed: argparse.Namespace, settings: Settings) -> None:
    now = datetime.now(UTC)
    for running in registry(settings, writes=False).in_use_reports.all():
        age = (now - running.reported).days
        for reference in running.references:
            print(f"{running.id}\t{reference}\treported {age} days ago")


def _forget(parsed: argparse.Namespace, settings: Settings) -> None:
    if not registry(settings).in_use_reports.forget(parsed.source):
        raise CommandError(f"{parsed.source} has reported nothing")
