"""The printer of all commands: tables for people, JSON for programs."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from lading import cli
from lading.commands import exit_status
from lading.commands.options import Parser
from lading.commands.output import Column, Printer, format_size, format_time, shorten_digests, to_json
from lading.quantity import counted
from lading.terminal_text import escape
from tests.commands.command_tables import commands
from tests.commands.tables import table
from tests.support.server_process import run_lading

DIGEST = "sha256:" + "0123456789abcdef" * 4
TIME = datetime(2026, 11, 1, 12, 0, 30, 250, tzinfo=UTC)

NO_DATA = {
    "ready",
    *(f"webhooks {name}" for name in ("disable", "enable", "remove", "retry")),
    "serve",
    "init",
    "promote",
    "config check",
    "users set",
    "users remove",
    "robots revoke",
    "in-use forget",
    "running forget",
}
"""Commands that print sentences, or nothing."""

TEXT = {"keys new", "login-help", "completion", "policy schema"}
"""Commands whose output has a format of its own."""


class State(Enum):
    GOOD = "good"


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    size: int = 5
    time: datetime | None = None
    tags: tuple[str, ...] = ()
    state: State = State.GOOD


COLUMNS: tuple[Column[Row], ...] = (
    Column("NAME", lambda row: row.name),
    Column("SIZE", lambda row: row.size, right=True),
    Column("TIME", lambda row: row.time),
    Column("TAGS", lambda row: row.tags),
)


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [Row("a", 5, TIME, ("v1", "v2")), Row(f"longer@{DIGEST}", 12345)]

    assert Printer().table(COLUMNS, rows) == 2

    assert capsys.readouterr().out.splitlines() == [
        "NAME                         SIZE  TIME                  TAGS",
        "a                               5  2026-11-01T12:00:30Z  v1,v2",
        "longer@sha256:0123456789ab  12345  -                     -",
    ]


@pytest.mark.parametrize("wide", ["日本", "é" + "e\u0301" + "xy", "🚀🚀"])
def test_columns_are_aligned_by_the_cells_that_text_takes(wide: str, capsys: pytest.CaptureFixture[str]) -> None:
    Printer().table(COLUMNS[:2], [Row(wide), Row("abcd")])
    Printer().fields({wide: "x", "abcd": "y"})

    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [f"{wide}     5", "abcd     5"]
    assert lines[3:] == [f"{wide}  x", "abcd  y"]


def test_wide_tables_have_whole_digests_and_times(capsys: pytest.CaptureFixture[str]) -> None:
    Printer(wide=True).table(COLUMNS, [Row(DIGEST, 5, TIME)])

    (row,) = table(capsys.readouterr().out)
    assert (row["NAME"], row["TIME"]) == (DIGEST, "2026-11-01T12:00:30.000250Z")


def test_a_long_listing_is_printed_while_it_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    shown: list[str] = []

    def rows() -> Iterator[Row]:
        yield Row("first row")
        yield Row("b")
        shown.append(capsys.readouterr().out)
        yield Row("a name that is longer")
        yield Row("c", 7)

    assert Printer().table(COLUMNS, rows(), batch_size=2) == 4

    assert len(shown[0].splitlines()) == 3, "a header and two rows"
    later = capsys.readouterr().out.splitlines()
    assert [line.index("7") if "7" in line else line.index("5") for line in later] == [26, 26], "aligned by the widest"


def test_a_table_without_rows_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    for json_ in (False, True):
        assert Printer(json_).table(COLUMNS, []) == 0
    assert capsys.readouterr().out == ""


def test_json_is_an_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    east = TIME.astimezone(timezone(timedelta(hours=2)))
    printer = Printer(json=True, wide=True)

    printer.table(COLUMNS, [Row(DIGEST, 5, east, ("v1",)), Row("b")])
    printer.note("for people")
    printer.record(Row("c"), "for people")

    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    time = "2026-11-01T12:00:30.000250Z"
    assert first == {"name": DIGEST, "size": 5, "time": time, "tags": ["v1"], "state": "good"}
    assert (second["time"], third["name"]) == (None, "c")
    assert to_json({"wait": timedelta(minutes=1)}) == '{"wait": 60.0}'


def test_text_of_clients_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Printer().table(COLUMNS, [Row("a\x1b[2J\n\u202eb")])
    Printer().fields({"name": "x\r", "none": None, "empty": ""})

    assert capsys.readouterr().out.splitlines()[1:] == [
        r"a\x1b[2J\n\u202eb     5  -     -",
        r"name   x\r",
    ]
    assert escape("Grün, 中") == "Grün, 中"


def test_names_of_clients_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Printer().fields({"annotation \x1b[31m\r\nInjected": "x", "label \ud800": "y"})
    shown = capsys.readouterr().out
    assert shown.splitlines() == [r"annotation \x1b[31m\r\nInjected  x", r"label \ud800                     y"]


def test_errors_cannot_control_the_terminal(tmp_path: Path) -> None:
    done = run_lading(["in-use", "forget", "c1\x1b[31m"], tmp_path, {"LADING_DATA": "absent\x1b[31m"})
    assert done.returncode == exit_status.FAILED
    assert (r"absent\x1b[31m" in done.stderr, "\x1b" in done.stderr) == (True, False)


def test_a_locale_without_a_character_shows_its_escape(tmp_path: Path) -> None:
    environment = {"PYTHONIOENCODING": "latin-1", "LADING_DATA": "\u65e5"}
    done = run_lading(["config", "show"], tmp_path, environment)
    assert (done.returncode, r"\u65e5" in done.stdout) == (exit_status.OK, True)


def test_progress_is_cleared_before_rows_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    class Line:
        def clear(self) -> None:
            sys.stdout.write("cleared\n")

    Printer().table(COLUMNS[:1], [Row("a")], Line())

    assert capsys.readouterr().out.splitlines() == ["cleared", "NAME", "a"]


def test_digests_times_and_sizes_are_short() -> None:
    assert shorten_digests(f"a@{DIGEST} -> {DIGEST}") == "a@sha256:0123456789ab -> sha256:0123456789ab"
    assert shorten_digests("sha512:" + "0" * 128) == "sha512:000000000000"
    assert format_time(TIME) == "2026-11-01T12:00:30Z"
    assert format_time(TIME.astimezone(timezone(timedelta(hours=2))), wide=True) == "2026-11-01T12:00:30.000250Z"
    words = {"tag": "tags", "entry": "entries", "day": "days", "more policy": "more policies"}
    assert [counted(2, word) for word in words] == [f"2 {plural}" for plural in words.values()]
    assert [counted(1, "entry"), counted(0, "tag"), counted(2, "box", "boxes")] == ["1 entry", "0 tags", "2 boxes"]
    assert [format_size(size) for size in (0, 999, 1000, 1_500_000, 10**16)] == [
        *("0 B", "999 B", "1.0 kB", "1.5 MB", "10000.0 TB")
    ]


NAMES = sorted(set(commands(cli._parser())))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NO_DATA | TEXT])
def test_a_command_that_prints_data_has_json(name: str) -> None:
    parser = parser_of(name)
    assert "--json" in parser.format_help()
    assert parser.rows
    assert all(dataclasses.is_dataclass(row) for row in parser.rows)


@pytest.mark.parametrize("name", sorted(NO_DATA - {"running forget"}))
def test_a_command_that_prints_none_has_no_json(name: str) -> None:
    assert "--json" not in parser_of(name).format_help()


def parser_of(name: str) -> Parser:
    parser: Any = cli._parser()
    for word in name.split():
        (group,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        parser = group.choices[word]
    assert isinstance(parser, Parser)
    return parser


def test_the_help_and_the_documentation_have_the_exit_statuses() -> None:
    printed = cli._parser().format_help()
    documented = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()

    for status, meaning in exit_status.DESCRIPTIONS.items():
        assert f"| {status} | {meaning} |\n" in documented
        assert f"  {status:<3}  {meaning}" in printed
