"""A disk that breaks below one process, by order, and is mended: broken_disk.c, compiled."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.support.requirements import find_program, skip_or_fail

PAGE: Final = 4096
"""Bytes that Linux writes to a disk, or drops, together."""


class BrokenDisk:
    """Whole until told to break.

    environment  what a process must be started with
    """

    def __init__(self, folder: Path) -> None:
        """Compile into a new folder."""
        if sys.platform != "linux":
            skip_or_fail("needs Linux, where a library can be preloaded")
        compiler = find_program("cc", "apt-get install gcc libc6-dev")
        library, self._orders = folder / "broken_disk.so", folder / "orders"
        self._orders.mkdir(parents=True)
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "BROKEN_DISK": str(self._orders)}

    def fail_calls(self, order: str, passing: int = 0) -> None:
        """Let calls fail: `order` is flush, write or read, and a suffix. The first few pass."""
        (self._orders / "struck").unlink(missing_ok=True)
        new = self._orders / "new"
        new.write_bytes(bytes(passing))
        new.rename(self._orders / order)

    @property
    def has_failed(self) -> bool:
        """Whether a call has failed since the disk broke."""
        return (self._orders / "struck").exists()

    def repair(self) -> None:
        """Let all calls pass again."""
        for order in self._orders.iterdir():
            order.unlink()

    def track_writes(self, path: Path) -> None:
        """Remember from now which pages of a file are written."""
        (self._orders / f"keep{path.suffix}").touch()

    def content_after_power_failure(self, path: Path, flushed: bytes) -> bytes:
        """What is on the disk of a file: `flushed`, and over it the pages that were written since `keeps`."""
        now, written = path.read_bytes(), set[int]()
        for line in (self._orders / f"keep{path.suffix}").read_text().splitlines():
            start, size = map(int, line.split())
            written |= set(range(start // PAGE, (start + size - 1) // PAGE + 1))
        old = flushed.ljust(len(now), b"\0")
        starts = range(0, len(now), PAGE)
        return b"".join((now if at // PAGE in written else old)[at : at + PAGE] for at in starts)
