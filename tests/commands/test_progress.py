"""The line that shows how far a command is."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

from lading.commands.progress import ProgressLine, bar, rates
from lading.registry.registry import Registry
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.server_process import SOURCE_ROOTS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_says_what_is_done_and_how_fast() -> None:
    assert bar("blobs", 50, 200) == "[#######.....................] blobs        50 of 200"
    assert bar("checks", 7, 0) == "checks       7"
    assert bar("blobs", 300, 200).startswith("[############################]")
    assert rates(50, 3_000_000, 2.0) == ", 25/s, 3.0 MB, 1.5 MB/s"
    assert rates(7, 0, 1.0) == ", 7/s"
    assert rates(7, 10, 0.5) == ", 10 B"


def test_rates_are_counted_from_the_beginning_of_a_phase() -> None:
    time, terminal = [0.0], Terminal()
    shown = ProgressLine(terminal, lambda: time[0])
    shown.show("links", 100)
    time[0] = 2.0
    shown.show("links", 120)

    assert terminal.getvalue().endswith("links        120, 10/s")


def test_a_line_is_shown_ten_times_a_second_and_taken_away() -> None:
    time, terminal = [0.0], Terminal()
    with ProgressLine(terminal, lambda: time[0]) as shown:
        for number in range(100):
            time[0] = number / 100
            shown.show("blobs", number, 100)
        shown.show("metadata", 1, 2)

    lines = terminal.getvalue().split("\r\x1b[K")
    assert 10 <= len(lines) <= 14
    assert "metadata" in lines[-2]
    assert lines[-1] == ""


def test_backup_and_restore_show_how_far_they_are(tmp_path: Path) -> None:
    stores = folder_stores(tmp_path / "data")
    push_image(Registry(stores.blobs, stores.metadata), "a", "v1")
    stores.close()

    for words in (["backup", "--data", "data", "backup"], ["restore", "--data", "other", "backup"]):
        terminal, stderr = pty.openpty()
        done = subprocess.run(
            [sys.executable, "-m", "lading.cli", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": SOURCE_ROOTS},
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            check=True,
        )
        os.close(stderr)
        shown = os.read(terminal, 100_000).decode()
        os.close(terminal)
        assert done.returncode == 0
        assert ("blobs" if words[0] == "backup" else "repositories") in shown
        assert shown.endswith("\r\x1b[K")


def test_nothing_is_written_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with ProgressLine(stream) as shown:
        shown.show("blobs", 1, 2)

    assert stream.getvalue() == ""
