"""`lading vacuum`: give the space that deleted records left in the metadata's file back to the file system."""

import argparse
import time
from typing import Final

from lading.commands.options import Commands, add, format_size, metadata, refuse_standby
from lading.commands.progress import ProgressLine
from lading.settings import Settings

STEP_SIZE: Final = 1024 * 1024
"""Bytes that are given back at a time, while nobody else can write."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "vacuum", "shrink the file of the metadata, while serving", _vacuum, ("data", "metadata"))


def _vacuum(parsed: argparse.Namespace, settings: Settings) -> None:
    refuse_standby(settings)
    store = metadata(settings)
    total = left = store.compact(1)
    with ProgressLine() as line:
        while left:
            line.show("vacuum", (total - left) // STEP_SIZE, total // STEP_SIZE, copied_bytes=total - left)
            began, before = time.monotonic(), left
            left = store.compact(STEP_SIZE)
            if left >= before:
                # Records are deleted faster than that.
                break
            # Half of the time belongs to those who write beside it.
            time.sleep(time.monotonic() - began)
    store.close()
    rest = f"; {format_size(left)} are free in it" if left else ""
    print(f"gave {format_size(max(0, total - left))} of the metadata's file back{rest}")
