"""The benchmark itself, on sizes that say nothing about speed: that it runs, and what it says then."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import _parser, main
from tests.benchmarks.report import BenchmarkReport
from tests.benchmarks.workload import Bench, Workload
from tests.benchmarks.workloads import WORKS
from tests.support.requirements import find_program

SMALL = ["--peers", "lading", "--rounds", "1", "--scale", "200", "--seconds", "0.1"]
NAMED = ["get-tag-32", "upload-small", "upload-large", "download-range", "tags", "referrers", "start"]


@pytest.mark.parametrize(("access", "named"), [("everybody", [*NAMED, "hostile-all", "scan"]), ("token", NAMED[:2])])
def test_what_is_named_is_measured(
    access: str, named: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    find_program("go", "https://go.dev")

    assert main([*named, *SMALL, "--access", access, "--json", str(tmp_path / "results" / "run.json")]) == 0

    written = json.loads((tmp_path / "results" / "run.json").read_text())
    assert list(written["values"]) == named
    assert written["machine"]["processors"] > 0
    for name, figure in (("get-tag-32", "requests/s"), ("upload-small", "MB/s")):
        (measured,) = written["values"][name][figure]["lading"]
        assert measured > 0
    assert capsys.readouterr().out.count("\n| requests/s | ") == 1


def test_a_registry_that_keeps_nothing_shows_what_is_the_clients_own(capsys: pytest.CaptureFixture[str]) -> None:
    find_program("go", "https://go.dev")
    find_program("crane", "go install github.com/google/go-containerregistry/cmd/crane@latest")

    assert main(["crane-push-again", "crane-pull", "download-range", *SMALL, "--peers", "lading,nothing"]) == 0

    told = capsys.readouterr().out
    assert "| | lading | nothing |" in told
    assert "crane-pull is left out for nothing" in told
    assert "download-range is left out for nothing" in told


def test_what_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get-everything", *SMALL]) == 2
    assert "get-everything" in capsys.readouterr().err


def test_the_table_compares_round_by_round() -> None:
    report = BenchmarkReport(["a", "b"], "everybody", 3)
    work = Workload("w", "a piece of work", lambda bench, peer: {})
    for ours, theirs in ((1, 2), (10, 20), (400, 200)):
        report.add(work, "a", {"s": ours})
        report.add(work, "b", {"s": theirs})

    assert "| s | 10 (1 to 400) | 20 (2 to 200) | 0.50 |" in report.table("w")


def test_each_piece_of_work_has_its_name() -> None:
    assert all(name == work.name for name, work in WORKS.items())
    assert Bench(Path()).scale == 1


def test_the_documented_commands_measure_existing_work() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text()
    commands = re.findall(r"^python -m tests\.benchmarks(.*)$", page, re.MULTILINE)

    assert len(commands) == 3
    for words in commands:
        parsed = _parser().parse_args(shlex.split(words))
        assert set(parsed.work) <= set(WORKS)
