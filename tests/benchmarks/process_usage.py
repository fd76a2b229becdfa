"""The CPU time and the memory of a process and of all that it has started (proc(5))."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")


class Tree:
    """A process and its children."""

    def __init__(self, root: int) -> None:
        """Watch the process of that id."""
        self._root = root

    def cpu(self) -> float:
        """Seconds of CPU time, user's and system's, of all processes that live, and of those that ended before."""
        return sum(_times(id) for id in self._processes()) / TICKS

    def memory(self) -> int:
        """Bytes that are in memory now (VmRSS)."""
        return sum(_status(id, "VmRSS") for id in self._processes())

    def peak(self) -> int:
        """The most bytes that were in memory at a time (VmHWM), since `forget_peak`."""
        return sum(_status(id, "VmHWM") for id in self._processes())

    def forget_peak(self) -> None:
        """Begin anew to look for the peak."""
        for id in self._processes():
            Path(f"/proc/{id}/clear_refs").write_text("5")

    def _processes(self) -> Iterator[int]:
        waiting = [self._root]
        while waiting:
            id = waiting.pop()
            yield id
            for children in Path(f"/proc/{id}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    waiting += map(int, children.read_text().split())


def _times(id: int) -> int:
    """Ticks: utime, stime, cutime and cstime of /proc/ID/stat, whose second field may hold anything, `)` included."""
    fields = Path(f"/proc/{id}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _status(id: int, name: str) -> int:
    for line in Path(f"/proc/{id}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
