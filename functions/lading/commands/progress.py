"""A line of progress on a terminal, written over and over: a bar, what is done, and how fast."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from lading.commands.options import format_size

if TYPE_CHECKING:
    from lading.jobs.runner import JobReport

WIDTH: Final = 28
"""Characters of the bar."""

INTERVAL: Final = 0.1
"""Seconds between two writes to the terminal."""


class ProgressLine:
    """The line. Nothing is written where the stream is no terminal; at the end of a `with` block it is gone."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`, standard error unless another is given."""
        self._stream = stream or sys.stderr
        self._clock = clock
        self._shown = -INTERVAL
        self._phase = ""
        self._began = 0.0
        self._before = 0

    def __enter__(self) -> Self:
        """Begin; writes nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the line away."""
        self.clear()

    def show(self, phase: str, done: int, total: int = 0, copied_bytes: int = 0, note: str = "") -> None:
        """Show how far a phase is, unless the line was shown just now.

        Args:
            phase: what is being done, in a word; rates are counted from when it began.
            done: steps that are done.
            total: steps there are, or 0 where nobody knows.
            copied_bytes: bytes copied, read or freed in this phase.
            note: what else to say.
        """
        if not self._stream.isatty():
            return
        time = self._clock()
        if phase != self._phase:
            self._phase, self._began, self._before = phase, time, done
        elif time - self._shown < INTERVAL:
            return
        self._shown = time
        text = bar(phase, done, total) + rates(done - self._before, copied_bytes, time - self._began)
        print(f"\r\x1b[K{text}{note}", end="", file=self._stream, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._stream.isatty():
            print("\r\x1b[K", end="", file=self._stream, flush=True)


def bar(phase: str, done: int, total: int) -> str:
    """Return how far a phase is; `total` is 0 where nobody knows it."""
    full = min(done, total) * WIDTH // total if total else 0
    text = f"[{'#' * full}{'.' * (WIDTH - full)}] " if total else ""
    return f"{text}{phase:12} {done}{f' of {total}' if total else ''}"


def rates(steps: int, moved: int, seconds: float) -> str:
    """Return how many steps were done a second, how many bytes were moved, and how many a second."""
    text = f", {steps / seconds:.0f}/s" if seconds >= 1 else ""
    if moved:
        text += f", {format_size(moved)}" + (f", {format_size(int(moved / seconds))}/s" if seconds >= 1 else "")
    return text


class JobLine(ProgressLine):
    """A line about a job that is done in slices."""

    def job(self, report: "JobReport") -> None:
        """Show how far a job is: its phase, what was looked at, how fast, what was freed."""
        from lading.jobs.runner import BYTES_FREED

        freed = report.counts[BYTES_FREED]
        note = f"; phase {report.done + 1} of {report.phases}; {format_size(freed)} freed"
        self.show(report.phase, report.counts.total() - freed, note=note)


class CountedLine(ProgressLine):
    """A line that counts what it is told of, phase by phase."""

    _counted = ""
    _done = 0

    def count(self, phase: str, name: str) -> None:
        """Count one more thing of a phase, and show it."""
        if phase != self._counted:
            self._counted, self._done = phase, 0
        self._done += 1
        self.show(phase, self._done, note=f"  {name[:60]}")
