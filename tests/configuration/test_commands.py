"""lading config check, lading config show, and --config of the other commands."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lading.settings import SETTINGS
from tests.commands.tables import json_rows
from tests.support.server_process import run_lading


def test_show_says_where_each_value_comes_from(tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text("[server]\nthreads = 64\n[access]\npublic = ['team/*', 'library/*']\n")

    shown = run_lading(["config", "show", "--grace", "1h"], tmp_path, {"LADING_UNDELETE": "30d"})
    rows = {line.split()[0]: line.split(maxsplit=1)[1] for line in shown.stdout.splitlines()[1:]}

    assert shown.returncode == 0
    assert rows.keys() == {each.option for each in SETTINGS}
    assert rows["threads"].split(maxsplit=1) == ["64", "threads in [server] of lading.toml"]
    assert rows["public"].split(maxsplit=1) == ["team/*,library/*", "public in [access] of lading.toml"]
    assert rows["grace"].split() == ["1h", "--grace"]
    assert rows["undelete"].split() == ["30d", "LADING_UNDELETE"]
    assert rows["address"].split() == ["127.0.0.1:5000", "default"]

    done = run_lading(["config", "show", "--json"], tmp_path)
    row = {"option": "threads", "value": "64", "source": "threads in [server] of lading.toml"}
    assert row in json_rows(done.stdout)


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[server]\nthreads = 64\n")
    bad.write_text("[server]\nthreads = 0\n")

    done = run_lading(["config", "check", "good.toml"], tmp_path)
    assert (done.returncode, done.stdout) == (0, "good.toml: 1 setting can be used\n")
    done = run_lading(["config", "check", "bad.toml"], tmp_path)
    assert done.returncode == 1
    assert done.stderr == "lading: threads in [server] of bad.toml is a number from 1 to 1000, not 0\n"
    done = run_lading(["config", "check"], tmp_path, {"LADING_CONFIG": "bad.toml"})
    assert (done.returncode, "bad.toml" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "rule", ["immutable = ['x']", "allow-missing = ['x']", "cleanup = [{name = 'x'}]", "cleanup = 'no'"]
)
def test_check_reads_the_rules_and_policies(rule: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(f"[rules]\n{rule}\n")

    for words in (["config", "check", "bad.toml"], ["config", "check", "--config", "bad.toml"]):
        done = run_lading(words, tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"--{rule.split(maxsplit=1)[0]}" in done.stderr


def test_check_names_scans_that_nothing_does(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(
        "[server]\n[stores]\nblobs = 'gs://b'\nmetadata = 'firestore://p'\n[scans]\nmode = 'on'\n"
    )
    (tmp_path / "keys.toml").write_text("[scans]\nscan-keys = 'none.pem'\n")

    done = run_lading(["config", "check", "bad.toml"], tmp_path)
    assert (done.returncode, "--scan on needs --scanner" in done.stderr) == (1, True), done.stderr
    done = run_lading(["config", "check", "keys.toml"], tmp_path)
    assert (done.returncode, "--scan-keys: " in done.stderr) == (1, True), done.stderr


def test_check_reads_its_file_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    with ThreadPoolExecutor() as threads:
        checked = threads.submit(run_lading, ["config", "check", "fifo.toml"], tmp_path)
        (tmp_path / "fifo.toml").write_text("[server]\nthreads = 64\nbody-timeout = 30\n")
        assert checked.result().stdout == "fifo.toml: 2 settings can be used\n"


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["login-help", "r.example.com"], ["ls", "--help"], ["keys", "new"]]
)
def test_a_broken_configuration_does_not_stop_help(words: list[str], tmp_path: Path) -> None:
    (tmp_path / "lading.toml").write_text("[broken")

    done = run_lading(words, tmp_path, {"LADING_THREADS": "x"})

    assert (done.returncode, done.stderr) == (0, "")
    assert run_lading(["ls"], tmp_path).returncode == 1


def test_commands_work_on_the_registry_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "lading.toml").write_text("[stores]\ndata = '../data'\n")
    config = ["--config", "etc/lading.toml"]

    assert run_lading(["init", *config], tmp_path).returncode == 0
    assert (tmp_path / "data" / "metadata.sqlite").is_file()
    assert run_lading(["du", *config], tmp_path).returncode == 0
    assert run_lading(["du"], tmp_path).returncode == 1
