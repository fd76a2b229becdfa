"""A disk that does not flush, and a database that is busy or full."""

import contextlib
import errno
import itertools
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lading.registry.registry import Registry
from lading_storage.digests import digest_of
from lading_storage.errors import Unavailable
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.stores import Stores
from tests.faults.exact_client import RequestOutcome
from tests.support import images
from tests.support.app_client import Client, Response, content_type_header, make_client


def assert_full(refused: RequestOutcome | Response, *stores: str) -> None:
    """The client is told that there is no space, where, and what frees some."""
    assert (refused.status, refused.headers["Retry-After"]) == (507, "5")
    (error,) = json.loads(refused.body)["errors"]
    assert "no space left" in error["message"]
    assert "lading gc" in error["message"]
    assert error["detail"]["full"] in (stores or ("blobs", "metadata"))


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Stores]:
    """A folder and SQLite."""
    stores = Stores(FilesystemBlobs(tmp_path / "blobs"), SqliteMetadata(tmp_path / "metadata.sqlite"))
    yield stores
    stores.close()


@pytest.fixture
def client(local: Stores) -> Client:
    return make_client(Registry(local.blobs, local.metadata))


def test_a_busy_database_is_waited_for_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lading_storage.local.sqlite_file.BUSY_TIMEOUT", 0.2)
    blobs, metadata = FilesystemBlobs(tmp_path / "blobs"), SqliteMetadata(tmp_path / "metadata.sqlite")
    client, content = make_client(Registry(blobs, metadata)), images.blob()
    client.push_blob("a", content)
    with closing(metadata), closing(sqlite3.connect(tmp_path / "metadata.sqlite", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")

        refused = client.request("POST", "/v2/a/blobs/uploads/")

        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert client.request("GET", f"/v2/a/blobs/{digest_of(content)}").body == content
        another.execute("ROLLBACK")
        assert client.request("POST", "/v2/a/blobs/uploads/").status == 202


@contextlib.contextmanager
def flushing(failing: int = 0) -> Iterator[list[Path]]:
    """What is flushed until the end of the block; the flush of this number fails."""
    really, flushed = os.fsync, list[Path]()

    def fsync(descriptor: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        if len(flushed) == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        really(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        yield flushed


def test_a_disk_that_does_not_flush_makes_nothing_of_a_push(client: Client, local: Stores) -> None:
    """Each flush of a push in turn."""
    for number in itertools.count(1):
        content = images.blob()
        with flushing(number):
            answer = client.request("POST", f"/v2/a/blobs/uploads/?digest={digest_of(content)}", content)
        if answer.status == 201:
            break
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert client.request("GET", f"/v2/a/blobs/{digest_of(content)}").status == 404
        assert local.blobs.names("", limit=10) == []
    assert number > 2
    assert client.request("GET", f"/v2/a/blobs/{digest_of(content)}").body == content


def test_a_folder_whose_name_was_not_flushed_is_flushed_by_the_next_write(tmp_path: Path) -> None:
    root = tmp_path / "blobs"
    with flushing() as made:
        blobs = FilesystemBlobs(root)
    assert [path for path in made if path.name.startswith(".LAYOUT")]
    for number in itertools.count(1):
        upload = f"{number:02x}{30 * '0'}"
        with flushing(number) as first, contextlib.suppress(Unavailable):
            blobs.append(f"{upload}/0", [b"first"])
        with flushing() as second:
            blobs.append(f"{upload}/1", [b"second"])
        folder = root / upload[:2]
        good = {*first[: number - 1], *first[number:], *second}
        assert {root, folder, folder / upload, folder / upload / "1"} <= good, first[number - 1 : number]
        if len(first) < number:
            break
    assert number > 4


@pytest.mark.parametrize("there", ["", "new", "new/data"])
def test_the_names_of_the_data_folder_and_of_its_new_parents_are_flushed(tmp_path: Path, there: str) -> None:
    data = tmp_path / "new" / "data"
    (tmp_path / there).mkdir(parents=True, exist_ok=True)

    with flushing() as by_metadata:
        SqliteMetadata(data / "metadata.sqlite").close()
    with flushing() as by_blobs:
        FilesystemBlobs(data / "blobs")

    assert data.parent in by_metadata
    assert (tmp_path in by_metadata) == (there == "")
    assert data in by_blobs


def test_a_folder_whose_parent_cannot_be_flushed_is_good_where_it_is_there_already(tmp_path: Path) -> None:
    with flushing(1), pytest.raises(Unavailable):
        FilesystemBlobs(tmp_path / "new" / "blobs")

    with flushing(1) as flushed:
        FilesystemBlobs(tmp_path / "new" / "blobs")

    assert flushed[0] == tmp_path / "new"


def test_an_object_is_as_it_was_or_whole_whatever_flush_of_its_replacement_fails(tmp_path: Path) -> None:
    blobs, name, by = FilesystemBlobs(tmp_path), "aa11/0", "bb22/0"
    for number in itertools.count(1):
        blobs.append(name, [b"cut"])
        blobs.append(by, [b"whole"])
        with flushing(number) as flushed, contextlib.suppress(Unavailable):
            blobs.replace(name, by)
        assert (tmp_path / "aa" / name).read_bytes() in (b"cut", b"whole")
        if len(flushed) < number:
            break
        for each in (name, by):
            blobs.delete(each)
    assert number > 3
    assert {tmp_path / "aa/aa11", tmp_path / "bb/bb22"} <= set(flushed)


def test_a_full_database_changes_nothing(client: Client, local: Stores) -> None:
    """Whatever page of it is the first that there is no room for."""
    before = client.push_image("a", "v1", b"layer")
    assert isinstance(local.metadata, SqliteMetadata)
    writer = local.metadata._writer
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    content = images.manifest([], annotations={"filler": "x" * 20_000})
    for more in itertools.count():
        writer.execute(f"PRAGMA max_page_count = {pages + more}")
        answer = client.request("PUT", "/v2/a/manifests/v1", content, content_type_header(content))
        if answer.status == 201:
            break
        assert_full(answer, "metadata")
        assert client.request("GET", "/v2/a/manifests/v1").body == before
        assert len(client.request("GET", "/v2/_lading/a/history").json["moves"]) == 1
    assert more > 2
    assert client.request("GET", "/v2/a/manifests/v1").body == content
    assert len(client.request("GET", "/v2/_lading/a/history").json["moves"]) == 2
