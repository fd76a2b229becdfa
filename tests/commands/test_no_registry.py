"""Commands where there is no registry: only `serve`, `init` and `restore` make one."""

import contextlib
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from emulators import Emulators
from lading.cli import _parser
from lading.jobs.backup import back_up
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_owner import is_metadata_store
from lading_storage.records.core import Repository
from tests.commands.command_tables import commands
from tests.contracts.released_sqlite import make_released
from tests.support.folder_stores import folder_stores
from tests.support.server_process import run_lading

DIGEST = "sha256:" + "0" * 64
MAKE = {"serve", "init", "restore"}
NEED_NONE = {
    *("login-help", "ready", "keys new", "promote", "completion", "config check", "config show"),
    *("policy check", "policy schema", "policy break-glass"),
}
"""Commands that open no store of the settings."""

CHECKS = {"doctor", "upgrade-check"}
"""It reports what it finds, a line each."""

ARGUMENTS = {
    "show": ["a:b"],
    "scan": ["a:b"],
    "why": ["a:b"],
    "tag": ["a:b", "c"],
    "history": ["a"],
    "rollback": ["a:b"],
    "delete": ["a:b"],
    "cleanup apply": ["--yes"],
    "deleted": ["a"],
    "undelete": ["a:b"],
    "rules apply": ["rules.toml"],
    "policy test": ["policies.toml", "a:b"],
    "in-use report": ["cluster"],
    "in-use forget": ["cluster"],
    "running report": ["cluster"],
    "running forget": ["cluster"],
    "backup": ["target"],
    "users set": ["alice", "--password-stdin"],
    "users remove": ["alice"],
    "robots create": ["ci", "--repositories", "a/*"],
    "robots rotate": ["ci"],
    "robots revoke": ["ci"],
    "webhooks add": ["https://1.1.1.1/"],
    **{f"webhooks {name}": ["one"] for name in ("show", "test", "rotate", "retry", "enable", "disable", "remove")},
    "events replay": ["--since", "1h"],
    "vulnerabilities import": ["."],
    "explain-access": ["--as", "alice", "a", "pull"],
}


NAMES = sorted(set(commands(_parser())))


def words(name: str) -> list[str]:
    return [*name.split(), *ARGUMENTS.get(name, [])]


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


@pytest.mark.parametrize("name", [name for name in NAMES if name not in MAKE | NEED_NONE | CHECKS])
def test_a_command_makes_nothing_in_a_wrong_folder(name: str, tmp_path: Path) -> None:
    done = run_lading(words(name), tmp_path, stdin="x\n")

    assert done.returncode == 1, done.stdout
    assert done.stderr == f"lading: no registry at {tmp_path / 'lading-data'}; use --data FOLDER\n"
    assert done.stdout == ""
    assert files(tmp_path) == []


def test_doctor_makes_nothing_in_a_wrong_folder(tmp_path: Path) -> None:
    assert run_lading(["doctor"], tmp_path).returncode == 1
    assert files(tmp_path) == []


def live_backup(folder: Path) -> Path:
    """A backup of an empty registry."""
    with contextlib.closing(folder_stores(folder / "other")) as stores:
        back_up(stores, folder / "backup")
    return folder / "backup"


def test_an_empty_file_and_other_files_are_no_registry(tmp_path: Path) -> None:
    data = tmp_path / "lading-data"
    data.mkdir()
    (data / "metadata.sqlite").touch()

    for name in ("gc", "users list", "robots list"):
        assert "no registry at" in run_lading(words(name), tmp_path).stderr
    assert files(data) == [data / "metadata.sqlite"]


def foreign(folder: Path) -> Path:
    """A folder with another program's database, as a program that keeps its latest writes in the log leaves it."""
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "metadata.sqlite")) as connection:
        connection.execute("CREATE TABLE visits (url)")
        connection.execute("PRAGMA user_version = 2")
        connection.commit()
    return folder


@pytest.mark.parametrize("name", [name for name in NAMES if name not in NEED_NONE])
def test_another_programs_database_is_no_registry_and_stays_as_it_is(name: str, tmp_path: Path) -> None:
    database = foreign(tmp_path / "lading-data") / "metadata.sqlite"
    before = database.read_bytes()

    given = [str(live_backup(tmp_path))] if name == "restore" else []
    done = run_lading([*words(name), *given], tmp_path, stdin="x\n")

    assert done.returncode == 1
    assert "another program's database" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert database.read_bytes() == before
    assert files(tmp_path / "lading-data") == [database]


def test_a_registry_whose_tables_are_in_the_log_alone_is_one(tmp_path: Path) -> None:
    path = tmp_path / "lading-data" / "metadata.sqlite"
    with contextlib.closing(SqliteMetadata(path)):
        for name in ("", "-wal"):
            (tmp_path / f"copy.sqlite{name}").write_bytes(path.with_name(path.name + name).read_bytes())
    with contextlib.closing(sqlite3.connect(tmp_path / "empty.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")

    assert is_metadata_store(path)
    assert is_metadata_store(tmp_path / "copy.sqlite")
    assert not is_metadata_store(tmp_path / "empty.sqlite")


@pytest.mark.parametrize("name", ["gc", "robots list", "history", "users list"])
def test_a_database_without_a_schema_is_no_registry(name: str, emulators: Emulators, tmp_path: Path) -> None:
    environment = emulators.fresh_stores()

    done = run_lading(words(name), tmp_path, environment)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"lading: no registry at {environment['LADING_METADATA']}; use --metadata URL\n"
    assert files(tmp_path) == []


def test_a_command_that_reads_does_not_upgrade_a_running_registry(tmp_path: Path) -> None:
    file = tmp_path / "lading-data" / "metadata.sqlite"
    make_released(file, [Repository(id="team/app", created=datetime.now(UTC))])
    before = file.read_bytes()

    for words in (
        ["ls"],
        ["show", "team/app:v1"],
        ["history", "team/app"],
        ["deleted", "team/app"],
        ["du"],
        ["in-use", "list"],
        ["rules", "show"],
    ):
        done = run_lading(words, tmp_path)
        assert done.returncode == 1
        assert "is of an earlier release" in done.stderr
        assert "start `lading serve`" in done.stderr
    assert file.read_bytes() == before
    folder_stores(tmp_path / "lading-data").close()
    assert run_lading(["ls", "--json"], tmp_path).stdout.startswith('{"name": "team/app"')


def test_users_and_keys_of_a_file_that_is_named_need_no_registry(tmp_path: Path) -> None:
    assert run_lading(["users", "set", "alice", "--users", "here"], tmp_path, stdin="secret\n").returncode == 0
    assert run_lading(["users", "list"], tmp_path, {"LADING_USERS": "here"}).stdout == "NAME\nalice\n"
    refused = run_lading(["keys", "rotate", "--keys", (tmp_path / "keys.json").as_uri()], tmp_path)
    assert (refused.returncode, files(tmp_path)) == (1, [tmp_path / "here"])


def test_init_makes_a_registry_and_its_first_user_once(environment: Mapping[str, str], tmp_path: Path) -> None:
    where = {"LADING_USERS": str(tmp_path / "users"), "LADING_GRANTS": str(tmp_path / "grants"), **environment}

    first, second = run_lading(["init"], tmp_path, where), run_lading(["init"], tmp_path, where)

    assert first.returncode == 0, first.stderr
    password = tmp_path / "admin.password"
    assert f"with the password in {password}" in first.stdout
    assert f"  docker login 127.0.0.1:5000 -u admin --password-stdin < {password}\n" in first.stdout
    assert (tmp_path / "admin.password").read_text().strip() not in first.stdout + first.stderr
    assert (tmp_path / "users").read_text().startswith("admin:$2")
    assert (second.returncode, second.stdout) == (1, "")
    assert "there is a registry" in second.stderr
    assert run_lading(["du"], tmp_path, where).returncode == 0
    made = run_lading(["robots", "create", "ci", "--repositories", "a/*"], tmp_path, where)
    assert made.returncode == 0, made.stderr


def test_a_folder_that_cannot_be_read_is_an_error_in_words(tmp_path: Path) -> None:
    # Root may read everything but this.
    (tmp_path / "loop").symlink_to("loop")

    done = run_lading(["du", "--data", "loop"], tmp_path)

    assert done.returncode == 1
    assert done.stderr.startswith("lading: ")
    assert len(done.stderr.splitlines()) == 1, done.stderr
