"""A backup in a folder that cannot be written: on a read-only file system."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from lading.jobs.backup import BackupRefused, back_up, restore
from lading.jobs.backup.marker import LOCK, locked
from lading.registry.identity import identity_of
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_read_only import ReadOnlySqlite
from lading_storage.query import Query
from lading_storage.records.core import Key, Tag
from lading_storage.stores import Stores
from tests.support.folder_stores import folder_stores
from tests.support.registry_pushes import push_image
from tests.support.requirements import skip_or_fail
from tests.support.server_process import run_lading, serving


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A backup of one tag, a:v1, as a read-only file system shows it; it is written below `backup`."""
    with closing(folder_stores(tmp_path / "source")) as stores:
        push_image(Registry(stores.blobs, stores.metadata), "a", "v1")
        back_up(stores, tmp_path / "backup")
    shown = tmp_path / "shown"
    shown.mkdir()
    with ExitStack() as stack:
        for words in (["--bind", str(tmp_path / "backup")], ["-o", "remount,ro,bind"]):
            done = subprocess.run(["mount", *words, str(shown)], capture_output=True, text=True, check=False)
            if done.returncode:
                skip_or_fail(f"needs root, to mount a folder read-only: {done.stderr}")
            if words[0] == "--bind":
                stack.callback(subprocess.run, ["umount", str(shown)], check=True)
        yield shown


@pytest.mark.parametrize("with_lock", [True, False])
def test_a_read_only_backup_is_restored(with_lock: bool, read_only: Path, stores: Stores, tmp_path: Path) -> None:
    if not with_lock:
        (tmp_path / "backup" / LOCK).unlink()

    assert restore(read_only, stores).tags == 1

    tag = stores.metadata.read([Key(Tag, "v1", "a")])[Key(Tag, "v1", "a")]
    assert tag is not None


def test_a_read_only_backup_is_not_restored_beside_a_backup(read_only: Path, stores: Stores, tmp_path: Path) -> None:
    with locked(tmp_path / "backup"), pytest.raises(BackupRefused, match="is running"):
        restore(read_only, stores)


def test_a_read_only_standby_is_served_and_follows(read_only: Path, tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(read_only)}
    with serving({**environment, "LADING_ACCESS": "everybody"}, tmp_path / "log") as server:
        response, manifest = server.request("GET", "/v2/a/manifests/v1")
        assert response.status == 200
        for layer in json.loads(manifest)["layers"]:
            response, body = server.request("GET", f"/v2/a/blobs/{layer['digest']}")
            assert digest_of(body) == layer["digest"]
        assert server.request("DELETE", "/v2/a/manifests/v1")[0].status == 405
        with closing(folder_stores(tmp_path / "source")) as stores:
            push_image(Registry(stores.blobs, stores.metadata), "a", "v2")
            back_up(stores, tmp_path / "backup")
        _, listed = server.request("GET", "/v2/a/tags/list")
        assert json.loads(listed)["tags"] == ["v1", "v2"]
    for words in (["du"], ["history", "a"]):
        done = run_lading(words, tmp_path, environment)
        assert done.returncode == 0, done.stderr


def test_a_log_that_cannot_be_brought_in_is_an_error_that_says_what_to_do(read_only: Path, tmp_path: Path) -> None:
    database = tmp_path / "backup" / "metadata.sqlite"
    with closing(SqliteMetadata(tmp_path / "other.sqlite")):
        shutil.copy(tmp_path / "other.sqlite-wal", f"{database}-wal")

    for words in (["restore", str(read_only)], ["du", "--data", str(read_only)]):
        done = run_lading(words, tmp_path)
        assert done.returncode == 1
        assert "copy the folder to a writable place" in done.stderr, done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_registry_that_cannot_be_written_is_not_served(read_only: Path, tmp_path: Path) -> None:
    (tmp_path / "backup" / "backup.json").unlink()

    done = run_lading(["serve", "--data", str(read_only), "--address", "127.0.0.1:1"], tmp_path)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("use --data FOLDER, or change their owner"), done.stderr


def test_a_read_beside_a_write_fails(tmp_path: Path) -> None:
    path = tmp_path / "metadata.sqlite"
    SqliteMetadata(path).close()
    store = ReadOnlySqlite(path)
    assert store.find(Query(Tag, repository="a", limit=1)) == []

    with (
        pytest.raises(Unavailable, match="was changed during the read"),
        store._reader(),
        closing(folder_stores(tmp_path)) as writer,
    ):
        identity_of(writer.metadata)
    with pytest.raises(Unavailable, match="cannot be written"):
        store.commit([])
