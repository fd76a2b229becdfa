"""Progress on a terminal: one line, rewritten in place, with a bar, the steps done and the rate."""

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self, TextIO

from lading.commands.output import format_size

if TYPE_CHECKING:
    from lading.jobs.job_report import JobReport

WIDTH: Final = 28
"""Characters of the bar."""

INTERVAL: Final = 0.1
"""Seconds between two writes to the terminal."""


class ProgressLine:
    """Progress line. Nothing is written where the stream is no terminal; the end of a `with` block clears the line."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to `stream`, standard error unless another is given."""
        self._stream = stream or sys.stderr
        self._clock = clock
        self._shown = -INTERVAL
        self._phase = ""
        self._began = 0.0
        self._before = 0

    def __enter__(self) -> Self:
        """Return the line, which is not shown yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear the line."""
        self.clear()

    def show(self, phase: str, done: int, total: int = 0, copied_bytes: int = 0, note: str = "") -> None:
        """Show the progress of a phase, unless the line was written less than INTERVAL ago.

        Args:
            phase: name of the phase, in a word; rates are counted from its beginning.
            done: steps done.
            total: all steps, or 0 where the number is unknown.
            copied_bytes: bytes copied, read or freed in this phase.
            note: text after the rates.
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
        """Clear the line."""
        if self._stream.isatty():
            print("\r\x1b[K", end="", file=self._stream, flush=True)


def bar(phase: str, done: int, total: int) -> str:
    """Return a phase's bar and steps; `total` is 0 where it is unknown."""
    full = min(done, total) * WIDTH // total if total else 0
    text = f"[{'#' * full}{'.' * (WIDTH - full)}] " if total else ""
    return f"{text}{phase:12} {done}{f' of {total}' if total else ''}"


def rates(steps: int, moved: int, seconds: float) -> str:
    """Return the steps a second, the bytes moved, and the bytes a second."""
    text = f", {steps / seconds:.0f}/s" if seconds >= 1 else ""
    if moved:
        text += f", {format_size(moved)}" + (f", {format_size(int(moved / seconds))}/s" if seconds >= 1 else "")
    return text


class JobLine(ProgressLine):
    """Progress line of a resumable job."""

    def job(self, report: "JobReport") -> None:
        """Show a job's phase, the records examined, the rate and the bytes freed."""
        from lading.jobs.job_report import BYTES_FREED

        freed = report.counts[BYTES_FREED]
        note = f"; phase {report.done + 1} of {report.phases}; {format_size(freed)} freed"
        self.show(report.phase, report.counts.total() - freed, note=note)


class CountedLine(ProgressLine):
    """Progress line that counts steps itself, phase by phase."""

    _counted = ""
    _done = 0

    def count(self, phase: str, name: str) -> None:
        """Count one more step of a phase, and show the name of what it was about."""
        if phase != self._counted:
            self._counted, self._done = phase, 0
        self._done += 1
        self.show(phase, self._done, note=f"  {name[:60]}")
