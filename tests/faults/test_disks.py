"""Disks that are full, busy or broken: what cannot be kept is refused, and all that was there still reads."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from io import FileIO
from pathlib import Path

import pytest

from lading.jobs.backup import back_up
from lading.jobs.gc import reserve
from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import StoreFull
from lading_storage.local import sqlite_backup
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.protocols import Replace
from lading_storage.records.core import Blob, Key
from lading_storage.stores import Stores
from tests.faults.exact_client import ExactClient, RequestOutcome
from tests.support import images
from tests.support.app_client import Response
from tests.support.oci_layouts import write_image
from tests.support.registry_pushes import push_image
from tests.support.requirements import find_program, skip_or_fail
from tests.support.server_process import run_lading, serving

MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        skip_or_fail(f"needs root, to mount a small disk: {mounted.stderr}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free; return the file to delete, to have some again."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        write_without_end(file)
    return filler


def write_without_end(file: FileIO) -> None:
    while True:
        file.write(bytes(4096))


def assert_full(refused: RequestOutcome | Response, *stores: str) -> None:
    """The client is told that there is no space, where, and what frees some."""
    assert (refused.status, refused.headers["Retry-After"]) == (507, "5")
    (error,) = json.loads(refused.body)["errors"]
    assert "no space left" in error["message"]
    assert "lading gc" in error["message"]
    assert error["detail"]["full"] in (stores or ("blobs", "metadata"))


def test_a_full_disk_takes_nothing_and_gives_all(small_disk: Path, tmp_path: Path) -> None:
    layer, other = images.blob(MIB), images.manifest([], annotations={"other": "x" * 100_000})
    manifest = images.manifest([layer])
    with (
        serving({"LADING_DATA": str(small_disk)}, tmp_path / "log") as server,
        closing(ExactClient(server.port)) as client,
    ):
        for content in (images.EMPTY_CONFIG, layer):
            assert client.push_blob("a", content).status == 201
        assert client.put_manifest("a", "v1", manifest).status == 201

        def assert_all_is_there() -> None:
            assert client.request("GET", "/v2/a/manifests/v1").body == manifest
            assert client.request("GET", f"/v2/a/blobs/{digest_of(layer)}").body == layer

        large = images.blob(20 * MIB)
        begun = client.request("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
        refused = client.request("PATCH", begun[begun.index("/v2/") :], large)
        assert_full(refused, "blobs")
        assert_all_is_there()
        files = [file for file in small_disk.rglob("*") if file.is_file() and file.name != reserve.NAME]
        assert sum(file.stat().st_size for file in files) < 4 * MIB, "the rest is gone"

        filler = fill(small_disk)
        for refused in (
            client.push_blob("a", images.blob()),
            *(client.put_manifest("a", "v2", other) for _ in range(9)),
        ):
            assert_full(refused)
            assert_all_is_there()
        assert client.request("GET", "/v2/a/manifests/v2").status == 404

        filler.unlink()
        assert client.put_manifest("a", "v2", other).status == 201
        assert client.push_blob("a", images.blob()).status == 201
        assert_all_is_there()


def test_a_full_disk_of_a_backup_is_told_from_the_registrys(small_disk: Path, tmp_path: Path) -> None:
    stores = Stores(FilesystemBlobs(tmp_path / "blobs"), SqliteMetadata(tmp_path / "metadata.sqlite"))
    registry = Registry(stores.blobs, stores.metadata)
    place = f"no space left for the backup at {small_disk / 'backup'}: free some on that disk"
    with closing(registry):
        push_image(registry, "a", "v1")
        back_up(stores, small_disk / "backup")
        filler = fill(small_disk)
        with pytest.raises(StoreFull, match=place):
            back_up(stores, small_disk / "backup")
        filler.unlink()
        image = push_image(registry, "a", "v2")
        stored = stores.metadata.read([Key(Blob, image.blobs[0])])[Key(Blob, image.blobs[0])]
        assert stored is not None
        large = images.blob(20 * MIB)
        stores.blobs.append("ab" * 16 + "/1", iter([large]), len(large))
        object = "ab" * 16 + "/1"
        stores.metadata.commit([Replace(replace(stored, object=object, size=len(large)))])
        with pytest.raises(StoreFull, match=place):
            back_up(stores, small_disk / "backup")


@pytest.mark.parametrize("copy", [sqlite_backup.copy_snapshot, sqlite_backup.overwrite])
def test_a_database_that_does_not_fit_on_a_disk_is_an_error_about_that(
    copy: Callable[[Path, Path, sqlite_backup.Progress], None], small_disk: Path, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "large.sqlite")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE entries (content)")
        connection.executemany("INSERT INTO entries VALUES (zeroblob(1000000))", [()] * 20)
        connection.commit()

    with pytest.raises(StoreFull) as raised:
        copy(tmp_path / "large.sqlite", small_disk / "copy.sqlite", lambda done, total: None)

    assert raised.value.place == small_disk / "copy.sqlite"


def test_a_full_disk_is_collected(small_disk: Path, tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(small_disk)}
    with (
        serving(environment, tmp_path / "log") as server,
        closing(ExactClient(server.port)) as client,
    ):
        while (pushed := client.push_blob("a", images.blob(MIB))).status == 201:
            pass
        assert_full(pushed)
        fill(small_disk)
        assert_full(client.push_blob("a", images.blob()))

        # One that is killed leaves neither the reserve nor its lease given back.
        (small_disk / reserve.NAME).unlink()
        killed_at_work(environment, small_disk)

        done = run_lading(["gc", "--quiesced", "--json"], tmp_path, environment)

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["freed_bytes"] > 4 * MIB
        assert client.push_blob("a", images.blob(MIB)).status == 201
        assert (small_disk / reserve.NAME).stat().st_size == reserve.SIZE


def test_a_full_disk_is_collected_by_means_of_its_reserve(small_disk: Path, tmp_path: Path) -> None:
    environment = {"LADING_DATA": str(small_disk)}
    with (
        serving(environment, tmp_path / "log") as server,
        closing(ExactClient(server.port)) as client,
    ):
        assert client.push_blob("a", images.blob(MIB)).status == 201
        filler = fill(small_disk)

        done = run_lading(["gc", "--quiesced", "--json"], tmp_path, environment)

        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["freed_bytes"] == MIB
        assert client.push_blob("a", images.blob(1000)).status == 201
        filler.unlink()


def test_on_a_full_disk_clients_can_delete_and_a_collection_still_begins(small_disk: Path, tmp_path: Path) -> None:
    environment, names = {"LADING_DATA": str(small_disk)}, [f"v{number}" for number in range(9)]
    with (
        serving(environment, tmp_path / "log") as server,
        closing(ExactClient(server.port)) as client,
    ):
        layer = images.blob(MIB)
        for blob in (images.EMPTY_CONFIG, layer):
            assert client.push_blob("a", blob).status == 201
        for name in names:
            manifest = images.manifest([layer], annotations={"name": name})
            assert client.put_manifest("a", name, manifest).status == 201
        fill(small_disk)
        assert_full(client.push_blob("a", images.blob()))

        # A tag, and then manifests with theirs; whatever becomes free is taken at once.
        assert client.request("DELETE", f"/v2/a/manifests/{names[0]}").status == 202
        for number, name in enumerate(names[1:]):
            fill(small_disk).rename(small_disk / f"filler-{number}")
            digest = client.request("HEAD", f"/v2/a/manifests/{name}").headers["Docker-Content-Digest"]
            deleted = client.request("DELETE", f"/v2/a/manifests/{digest}")
            if deleted.status != 202:
                break
        assert number > 0, "one at least had the reserve"
        if deleted.status != 202:
            assert_full(deleted)
            assert "push" not in deleted.body.decode()
        assert (small_disk / reserve.NAME).stat().st_size >= reserve.SIZES[-1]

        done = run_lading(["gc", "--quiesced"], tmp_path, environment)

        assert done.returncode == 0, done.stderr


def test_on_a_full_disk_images_can_be_deleted_and_collected_until_none_is_left(
    small_disk: Path, tmp_path: Path
) -> None:
    environment = {"LADING_DATA": str(small_disk)}
    with (
        serving(environment, tmp_path / "log") as server,
        closing(ExactClient(server.port)) as client,
    ):
        assert client.push_blob("a", b"{}").status == 201
        names = [f"v{number}" for number in range(4)]
        for name in names:
            layer = images.blob(MIB // 4)
            assert client.push_blob("a", layer).status == 201
            assert client.put_manifest("a", name, images.manifest([layer])).status == 201
        assert run_lading(["gc"], tmp_path, environment).returncode == 0
        for number, name in enumerate(names):
            # Whatever a collection gives back, clients that try again take at once.
            fill(small_disk).rename(small_disk / f"filler-{number}")
            assert run_lading(["gc", "--quiesced"], tmp_path, environment).returncode == 0

            digest = client.request("HEAD", f"/v2/a/manifests/{name}").headers["Docker-Content-Digest"]
            done = run_lading(["delete", "--yes", "--for-good", f"a@{digest}"], tmp_path, environment)

            assert done.returncode == 0, done.stderr
            done = run_lading(["gc", "--quiesced", "--json"], tmp_path, environment)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["freed_bytes"] >= MIB // 4
            assert (small_disk / reserve.NAME).stat().st_size in reserve.SIZES


def killed_at_work(environment: Mapping[str, str], folder: Path) -> None:
    """Start a collection, and kill it when it has the lease; before it has freed anything, the disk is full."""
    program = "import os; from lading.jobs.runner import ResumableJob as Job; Job._run_phases = lambda *_: os._exit(9);"
    command = [sys.executable, "-c", f"{program} from lading.cli import main; main(['gc', '--quiesced'])"]
    assert subprocess.run(command, env={**os.environ, **environment}, check=False).returncode == 9


def test_a_registry_on_a_full_disk_can_be_killed_and_started(small_disk: Path, tmp_path: Path) -> None:
    environment, content = {"LADING_DATA": str(small_disk)}, images.blob(1000)
    with serving(environment, tmp_path / "log") as server:
        with closing(ExactClient(server.port)) as client:
            assert client.push_blob("a", content).status == 201
        filler = fill(small_disk)
        server.process.kill()
    with serving(environment, tmp_path / "log") as server, closing(ExactClient(server.port)) as client:
        assert client.request("GET", f"/v2/a/blobs/{digest_of(content)}").body == content
        assert_full(client.push_blob("a", images.blob()))
        filler.unlink()
        assert client.push_blob("a", images.blob()).status == 201


PUSHES = {
    "crane": ("go install github.com/google/go-containerregistry/cmd/crane@latest", ["push", "{layout}", "{remote}"]),
    "skopeo": ("apt-get install skopeo", ["copy", "--dest-tls-verify=false", "oci:{layout}:v1", "docker://{remote}"]),
}


@pytest.mark.parametrize("name", PUSHES)
def test_clients_say_that_the_disk_is_full(small_disk: Path, tmp_path: Path, name: str) -> None:
    how, arguments = PUSHES[name]
    path = find_program(name, how)
    layout = write_image(tmp_path / "layout", [images.blob(MIB)])
    with serving({"LADING_DATA": str(small_disk)}, tmp_path / "log") as server:
        fill(small_disk)
        words = [word.format(layout=layout.folder, remote=f"{server.host}/a:v1") for word in arguments]
        done = subprocess.run([path, *words], capture_output=True, text=True, timeout=60, check=False)
        log = server.log.read_text()

    assert done.returncode != 0
    assert "no space left" in done.stderr or "507 Insufficient Storage" in done.stderr, done.stderr
    assert "no space left for" in log
    assert "Traceback" not in log
