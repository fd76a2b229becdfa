"""`lading vacuum`: return the space of deleted records in the metadata's file to the file system."""

import argparse
import time
from dataclasses import dataclass
from typing import Final

from lading.commands.options import Commands, add, metadata, refuse_standby
from lading.commands.output import Printer, add_output_options, format_size
from lading.commands.progress import ProgressLine
from lading.settings import Settings

STEP_SIZE: Final = 1024 * 1024
"""Bytes returned in one transaction, during which no other process can write."""


@dataclass(frozen=True, slots=True)
class VacuumRow:
    """Bytes of the metadata's file that were returned to the file system, and those that are still free in it."""

    freed: int
    free: int


def add_to(commands: Commands) -> None:
    """Add the command."""
    vacuum = add(commands, "vacuum", "shrink the metadata's file, while serving", _vacuum, ("data", "metadata"))
    add_output_options(vacuum, VacuumRow, wide=False)


def _vacuum(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    store = metadata(settings)
    total = left = store.compact(1)
    with ProgressLine() as line:
        while left:
            line.show("vacuum", (total - left) // STEP_SIZE, total // STEP_SIZE, copied_bytes=total - left)
            started, before = time.monotonic(), left
            left = store.compact(STEP_SIZE)
            if left >= before:
                # Other processes delete records faster than this.
                break
            # Leave half of the time to other writers.
            time.sleep(time.monotonic() - started)
    store.close()
    row = VacuumRow(freed=max(0, total - left), free=left)
    rest = f"; {format_size(left)} are free in it" if left else ""
    Printer.of(parsed).record(row, f"returned {format_size(row.freed)} of the metadata's file to the file system{rest}")
