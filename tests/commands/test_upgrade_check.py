"""`lading upgrade-check`: what it says of stores of this, an earlier and a newer release, and that it only reads."""

import contextlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from google.cloud import firestore

from emulators import Emulators
from lading import cli
from lading_storage.google.firestore_schema import PATH, SCHEMA_VERSION
from lading_storage.local.sqlite_schema import VERSION
from lading_storage.records.core import Key, Repository
from lading_storage.stores import Stores
from tests.contracts.released_sqlite import make_released
from tests.support.folder_stores import folder_stores
from tests.support.record_examples import tag


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """Run the command; return its status, its rows, and its error."""
    status = cli.main(["upgrade-check", "--json", *words])
    done = capsys.readouterr()
    return status, [json.loads(line) for line in done.out.splitlines()], done.err


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    """The content and the time of change of each file below a folder."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def test_stores_of_this_release_are_current(stores: Stores, capsys: pytest.CaptureFixture[str]) -> None:
    stores.metadata.read([Key(Repository, "-")])  # Firestore's schema is written with the first request

    status, rows, error = check(capsys)

    assert (status, error) == (0, "")
    assert {(row["state"], row["detail"]) for row in rows} == {("current", "nothing to upgrade")}
    assert all(row["stored"] == row["release"] > 0 for row in rows)


@pytest.fixture
def database(emulators: Emulators, monkeypatch: pytest.MonkeyPatch) -> Iterator[firestore.Client]:
    """Google's client of an empty database, which the settings name."""
    for name, value in emulators.fresh_stores().items():
        monkeypatch.setenv(name, value)
    parts = urlsplit(os.environ["LADING_METADATA"])
    client = firestore.Client(project=parts.netloc, database=parts.path.strip("/"))
    yield client
    client.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("difference", "expected", "detail"),
    [(-1, (3, "older"), "the first start upgrades it"), (1, (1, "UNUSABLE"), "a newer release of Lading wrote it")],
)
def test_other_releases_of_a_database_in_the_cloud(
    database: firestore.Client,
    capsys: pytest.CaptureFixture[str],
    difference: int,
    expected: tuple[int, str],
    detail: str,
) -> None:
    before = {"version": SCHEMA_VERSION + difference}
    database.document(PATH).set(before)

    status, (row,), _ = check(capsys)

    assert (status, row["state"]) == expected
    assert row["stored"] == before["version"]
    assert detail in row["detail"]
    assert database.document(PATH).get().to_dict() == before


def test_a_database_without_a_schema_is_reported_and_left_alone(
    database: firestore.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (row,), _ = check(capsys)

    assert (status, row["state"], row["stored"]) == (1, "UNUSABLE", 0)
    assert row["detail"] == f"no metadata at {os.environ['LADING_METADATA']}"
    assert not database.document(PATH).get().exists


def test_an_older_folder_is_reported_and_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder_stores(tmp_path).close()
    (tmp_path / "metadata.sqlite").unlink()
    make_released(tmp_path / "metadata.sqlite", [tag("v1")])
    before = files(tmp_path)

    status, (metadata, blobs), error = check(capsys, "--data", str(tmp_path))

    assert (status, error) == (3, "")
    assert (metadata["state"], metadata["stored"], metadata["release"]) == ("older", 2, VERSION)
    assert blobs["state"] == "current"
    assert files(tmp_path) == before


def test_an_older_folder_on_a_full_disk_is_not_upgraded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder_stores(tmp_path).close()
    (tmp_path / "metadata.sqlite").unlink()
    make_released(tmp_path / "metadata.sqlite", [tag("v1")])
    usage = shutil.disk_usage(tmp_path)._replace(free=4096)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)

    status, (metadata, _), error = check(capsys, "--data", str(tmp_path))

    assert (status, metadata["state"]) == (1, "UNUSABLE")
    assert metadata["detail"].endswith("on its disk, and 4.1 kB are free")
    assert error == "lading: this release cannot use these stores; nothing was changed\n"


def test_folders_of_a_newer_release_are_reported_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder_stores(tmp_path).close()
    (tmp_path / "blobs" / "LAYOUT").write_text("2\n")
    with contextlib.closing(sqlite3.connect(tmp_path / "metadata.sqlite")) as file:
        file.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = files(tmp_path)

    status, rows, _ = check(capsys, "--data", str(tmp_path))

    assert status == 1
    assert [(row["state"], row["stored"] - row["release"]) for row in rows] == [("UNUSABLE", 1), ("UNUSABLE", 1)]
    assert files(tmp_path) == before


def test_no_registry_and_another_programs_database(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, rows, _ = check(capsys, "--data", str(tmp_path))
    assert status == 1
    assert [row["detail"] for row in rows] == [
        f"no metadata at {tmp_path}/metadata.sqlite",
        f"no blobs at {tmp_path}/blobs",
    ]
    with contextlib.closing(sqlite3.connect(tmp_path / "metadata.sqlite")) as file:
        file.execute("CREATE TABLE theirs (a)")
    assert "another program's database" in check(capsys, "--data", str(tmp_path))[1][0]["detail"]
