"""Output of the commands: one printer for tables, JSON and sentences.

    frozen dataclasses ──▶ Printer ──▶ a table with a header and aligned columns, for people
                                  └──▶ with --json: an object on a line for each row, for programs

A row is a frozen dataclass: `--json` prints its fields by their names, which stay the same in later releases, and
columns choose what a table shows of it. Where a row comes from does not matter, so that a command over HTTP prints the
same. Times are UTC. Text that clients wrote, such as annotations, cannot control the terminal.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from itertools import islice
from typing import Final, Generic, Protocol, TypeVar

from lading.commands.options import Parser
from lading.json_values import plain, rfc3339
from lading.terminal_text import escape, escape_lines, text_width

T = TypeVar("T")

GAP: Final = "  "
"""Between two columns."""

ABSENT: Final = "-"
"""In a table, where there is no value."""

BATCH_SIZE: Final = 100
"""Rows of a table that are aligned together, so that a long listing is printed while it is read."""

SHORT_DIGEST: Final = 12
"""Hexadecimal digits of a digest in a table, as docker shows them; `--wide` shows all."""

_DIGEST: Final = re.compile(rf"\b(sha(?:256|512):[0-9a-f]{{{SHORT_DIGEST}}})[0-9a-f]{{52,}}")


class Clearable(Protocol):
    """Progress that must be cleared before anything else is printed (progress.ProgressLine)."""

    def clear(self) -> None:
        """Clear the line."""
        ...


@dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """Column of a table.

    header     its title
    cell       returns the value of a row: a text, a number, a time, a tuple of texts, or None
    width      its least width, for tables whose rows are printed one by one
    right      whether it is aligned to the right, as sizes are
    multiline  whether a text with line breaks, which are this program's own, continues in the next line
    """

    header: str
    cell: Callable[[T], object]
    width: int = 0
    right: bool = False
    multiline: bool = False


class Printer:
    """Prints what a command returns, as its options `--json` and `--wide` say."""

    def __init__(self, json: bool = False, wide: bool = False) -> None:
        """Print JSON, or tables; `wide` tables with whole digests and full times."""
        self.json = json
        self.wide = wide

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> "Printer":
        """Return the printer that the options of `add_output_options` ask for."""
        return cls(parsed.json, getattr(parsed, "wide", False))

    def table(
        self,
        columns: Sequence[Column[T]],
        rows: Iterable[T],
        progress: Clearable | None = None,
        batch_size: int = BATCH_SIZE,
    ) -> int:
        """Print rows as they come.

        Args:
            columns: of the table; JSON shows all fields of the row.
            rows: frozen dataclasses.
            progress: cleared before each output.
            batch_size: the rows that are aligned together; columns never become narrower than in earlier rows.

        Returns:
            The number of rows. A table without rows is not printed at all.
        """
        widths = [0] * len(columns)
        remaining, count = iter(rows), 0
        while batch := list(islice(remaining, 1 if self.json else batch_size)):
            if progress:
                progress.clear()
            lines = map(to_json, batch) if self.json else self._align(columns, batch, widths, header=not count)
            print("\n".join(lines), flush=True)
            count += len(batch)
        return count

    def record(self, row: object, sentence: str) -> None:
        """Print one row: with `--json` its fields, else a sentence."""
        print(to_json(row) if self.json else escape_lines(sentence))

    def fields(self, fields: Mapping[str, object]) -> None:
        """Print names and values, one a line; what has no value is left out. Not for JSON."""
        shown = {escape(name): self.text(value) for name, value in fields.items()}
        width = max(map(text_width, shown), default=0)
        for name, text in shown.items():
            if text != ABSENT:
                print(f"{_pad(name, width, right=False)}{GAP}{text}")

    def note(self, sentence: str) -> None:
        """Print a sentence that is for people alone."""
        if not self.json:
            print(sentence)

    def text(self, value: object) -> str:
        """Return a value as a table shows it."""
        match value:
            case None | "" | ():
                return ABSENT
            case datetime():
                return format_time(value, self.wide)
            case tuple() | list():
                return ",".join(self.text(each) for each in value)
        text = escape(str(value.value if isinstance(value, Enum) else value))
        return text if self.wide else shorten_digests(text)

    def _align(self, columns: Sequence[Column[T]], rows: Sequence[T], widths: list[int], header: bool) -> Iterator[str]:
        """Return the lines of some rows; `widths` are those of the rows before, and become those of these as well."""
        cells = [[self._cell(column, row) for column in columns] for row in rows]
        texts = [[[column.header] for column in columns], *cells] if header else cells
        for number, column in enumerate(columns):
            longest = max((text_width(line) for row in texts for line in row[number]), default=0)
            widths[number] = max(widths[number], column.width, longest)
        for row in texts:
            for line in range(max(map(len, row))):
                parts = (
                    _pad(lines[line] if line < len(lines) else "", width, column.right)
                    for lines, width, column in zip(row, widths, columns, strict=True)
                )
                yield GAP.join(parts).rstrip()

    def _cell(self, column: Column[T], row: T) -> list[str]:
        value = column.cell(row)
        if column.multiline and isinstance(value, str):
            return [self.text(line) for line in value.split("\n")]
        return [self.text(value)]


def add_output_options(parser: Parser, *rows: type, wide: bool = True) -> None:
    """Add `--json` and, where a table has digests or times to show in full, `--wide`.

    Args:
        parser: of the command.
        rows: the dataclasses that the command prints; docs/commands.md lists their fields.
        wide: whether to add `--wide`.
    """
    parser.rows = rows
    parser.add_argument("--json", action="store_true", help="print JSON, an object a line, with field names that stay")
    if wide:
        parser.add_argument("--wide", action="store_true", help="print digests and times in full")


def to_json(row: object) -> str:
    """Return a row as one line of JSON: its fields, by their names."""
    return json.dumps(row, default=plain)


def shorten_digests(text: str) -> str:
    """Return a text with every digest in it cut to its algorithm and SHORT_DIGEST digits."""
    return _DIGEST.sub(r"\1", text)


def format_time(time: datetime, wide: bool = False) -> str:
    """Return a time in UTC as RFC 3339 has it: to the second, or, with `wide` and in JSON, to the microsecond."""
    return rfc3339(time, "microseconds" if wide else "seconds")


def format_size(size: int) -> str:
    """Return a number of bytes with a decimal unit, as in 1.5 MB."""
    figure, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if figure < 1000:
            break
        figure, unit = figure / 1000, larger
    return f"{figure:.1f} {unit}" if unit != "B" else f"{size} B"


def _pad(text: str, width: int, right: bool) -> str:
    spaces = " " * (width - text_width(text))
    return spaces + text if right else text + spaces
