"""`lading vacuum`: give the space that deleted records left in the metadata's file back to the file system."""

import argparse
import sys
import time
from typing import Final

from functions.commands.gc import clear
from functions.commands.options import Commands, add, human, metadata, refuse_standby
from functions.settings import Settings

STEP: Final = 1024 * 1024
"""Bytes that are given back at a time, while nobody else can write."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    add(commands, "vacuum", "shrink the file of the metadata, while serving", _vacuum, ("data", "metadata"))


def _vacuum(parsed: argparse.Namespace, read: Settings) -> None:
    refuse_standby(read)
    store = metadata(read)
    total = left = store.compact(1)
    while left:
        _show(total - left, total)
        began, before = time.monotonic(), left
        left = store.compact(STEP)
        if left >= before:
            # Records are deleted faster than that.
            break
        # Half of the time belongs to those who write beside it.
        time.sleep(time.monotonic() - began)
    store.close()
    clear()
    rest = f"; {human(left)} are free in it" if left else ""
    print(f"gave {human(max(0, total - left))} of the metadata's file back{rest}")


def _show(done: int, total: int) -> None:
    """Show how far it is, where there is a terminal."""
    if sys.stderr.isatty():
        print(f"\r{human(done)} of {human(total)} given back", end="", file=sys.stderr, flush=True)
