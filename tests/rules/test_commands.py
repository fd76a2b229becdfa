"""`lading rules apply` and `lading rules show`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lading import cli, logs
from lading.composition import create
from lading.registry.registry import Registry
from lading.registry.rules.changes import REGISTRY, RulesError
from lading.rules_file import document_of, read_rules
from lading.settings import load_settings

Run = Callable[..., tuple[int, list[dict[str, Any]], str]]

FILE = """
[server]
threads = 64

[rules]
immutable = ["*:v*"]
undelete = "30d"
cleanup = [{name = "old", action = {type = "Delete"}, condition = {olderThan = "30d"}}]

[namespaces.team]
immutable = ["*:stable"]
undelete = "60d"
"""


@pytest.fixture(autouse=True)
def start_no_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Leaves the log to `caplog`: the one that the command starts would outlast the test."""
    monkeypatch.setattr(logs, "start", lambda *_: None)
    caplog.set_level("INFO")


@pytest.fixture
def registry(environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Registry:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return create(load_settings(environment, {"access": "everybody"})).registry


@pytest.fixture
def run(registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `lading rules apply` on a file with a text, or another command of it without one."""

    def run(*words: str, text: str = "") -> tuple[int, list[dict[str, Any]], str]:
        file = tmp_path / "rules.toml"
        file.write_text(text)
        status = cli.main(["rules", *(("apply", str(file)) if text else ()), *words, "--json"])
        printed = capsys.readouterr()
        return status, [json.loads(line) for line in printed.out.splitlines() if line.startswith("{")], printed.err

    return run


def shown(run: Run, *words: str) -> dict[tuple[str, str], dict[str, Any]]:
    status, rows, _ = run("show", *words)
    assert status == 0
    return {(row["scope"], row["rule"]): row for row in rows}


def test_a_file_is_applied_and_shown(run: Run, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    status, rows, _ = run("--dry-run", text=FILE)
    assert (status, len(rows)) == (0, 5)
    assert registry.rules.read_all().values() == []

    status, rows, errors = run(text=FILE)

    assert status == 0, errors
    assert {(row["scope"], row["rule"]) for row in rows} == {
        ("", "immutable"),
        ("", "undelete"),
        ("", "cleanup"),
        ("team", "immutable"),
        ("team", "undelete"),
    }
    assert "action=manage repository=team" in caplog.text
    assert "rules changed by" in caplog.text
    rules = shown(run, "team/app")
    assert rules["", "undelete"]["value"] == "30d"
    assert rules["", "undelete"]["source"] == "change"
    assert "(lading rules)" in rules["", "undelete"]["by"]
    assert (rules["", "grace"]["value"], rules["", "grace"]["source"]) == ("1d", "default")
    assert rules["team", "immutable"]["value"] == "*:stable"
    assert {scope for scope, _ in shown(run, "other/app")} == {""}
    assert run(text=FILE)[1] == []


def test_what_protects_less_is_confirmed_and_a_shorter_window_waits(run: Run) -> None:
    run(text=FILE)
    looser = '[rules]\nundelete = "10d"\n'

    status, _, errors = run(text=looser)
    assert status == 2
    assert "protects less" in errors
    assert run("--dry-run", text=looser)[0] == 0
    status, rows, _ = run("--yes", text=looser)

    assert status == 0
    assert {row["rule"]: row["loosens"] for row in rows} == {"immutable": True, "undelete": True, "cleanup": False}
    window = shown(run)["", "undelete"]
    assert window["value"] == "10d"
    assert window["in_effect"].startswith("30d until ")
    run(text='[rules]\nundelete = "40d"\n')
    window = shown(run)["", "undelete"]
    assert (window["value"], window["in_effect"]) == ("40d", "")


def test_a_former_window_of_a_namespace_is_shown_while_it_applies(run: Run) -> None:
    assert run(text='[namespaces.team]\nundelete = "60d"\n')[0] == 0
    assert run("--yes", text="[namespaces.team]\n")[0] == 0

    _, rows, _ = run("show", "team/app")

    (row,) = [each for each in rows if each["scope"] == "team"]
    assert (row["rule"], row["value"]) == ("undelete", "not set")
    assert row["in_effect"].startswith("60d until ")


def test_a_file_with_a_serial_is_a_configuration(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(text='[rules]\nserial = 2\nimmutable = ["*:v*"]\n')[0] == 0
    status, _, errors = run("--yes", text='[rules]\nserial = 2\nimmutable = ["*:w*"]\n')
    assert status == 1
    assert "its serial 2 is not above the recorded 2" in errors
    assert run("--yes", "--force", text='[rules]\nserial = 1\nimmutable = ["*:w*"]\n')[0] == 0
    assert shown(run)["", "immutable"]["value"] == "*:w*"
    monkeypatch.setenv("LADING_IMMUTABLE", "*:x*")
    row = shown(run)["", "immutable"]
    assert (row["value"], row["source"], row["configured"]) == ("*:w*", "configuration", "*:x*")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[rules", "not TOML"),
        ("[server]\nthreads = 3", "no rules"),
        ("[rules]\nimmutables = 'a:b'", "did you mean"),
        ("[rules]\nimmutable = 'a'", "REPOSITORY:TAG"),
        ("[namespaces.team]\nserial = 3\nundelete = '9d'", "a serial is in"),
        ('[namespaces."team/app"]\nundelete = "9d"', "first segment"),
        ("[namespaces.team]\nundelete = '1d'", "shorter than the registry's"),
        ("[namespaces.Team]\nundelete = '9d'", "not the name"),
        ("[namespaces]\nteam = 3", "a section of its own"),
        ("[rules]\nserial = 3\n[namespaces.team]\nundelete = '9d'", "no namespaces"),
    ],
)
def test_a_wrong_file_changes_nothing(run: Run, registry: Registry, text: str, reason: str) -> None:
    status, _, errors = run(text=text)

    assert status == 1
    assert reason in errors
    assert registry.rules.read_all().values() == []


def test_only_an_existing_registry_has_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.toml").write_text(FILE)
    assert cli.main(["rules", "apply", str(tmp_path / "rules.toml"), "--data", str(tmp_path / "absent")]) == 1
    assert "no registry at" in capsys.readouterr().err
    assert not (tmp_path / "absent").exists()


def test_rules_in_json_never_name_a_file(tmp_path: Path) -> None:
    (tmp_path / "policies.json").write_text("[]")
    with pytest.raises(RulesError, match="array of policies"):
        document_of({"rules": {"cleanup": str(tmp_path / "policies.json")}}, "the request")
    (tmp_path / "rules.toml").write_text('[rules]\ncleanup = "policies.json"\n')
    assert read_rules(tmp_path / "rules.toml").tables == {REGISTRY: {"cleanup": "[]"}}
