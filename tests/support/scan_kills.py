"""What tests kill while images are scanned, and when."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable, Collection
from pathlib import Path


def reading_process(parents: Collection[int]) -> int | None:
    """The process that reads layers and that one of these has started, or None."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            is_alive = int(parent) in parents and state not in "ZX"
            if is_alive and b"layer_process" in (path.parent / "cmdline").read_bytes():
                return int(path.parent.name)
    return None


def kill_reading(parents: Collection[int]) -> bool:
    """Kill the process that reads layers; return whether there was one."""
    process = reading_process(parents)
    if process is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)
    return True


def wait_for(holds: Callable[[], object], choices: random.Random, timeout: float = 5) -> None:
    """Wait until something holds, or for so many seconds, and a moment more."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and not holds():
        time.sleep(0.01)
    time.sleep(choices.choice((0, 0.01, 0.1, 0.5)) * choices.random())
