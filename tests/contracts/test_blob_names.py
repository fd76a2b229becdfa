"""Names and listings of BlobStore, strays, and folders of the driver on a disk."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.protocols import BlobStore
from lading_storage.stores import Stores


@pytest.fixture
def blobs(stores: Stores) -> BlobStore:
    return stores.blobs


Leave = Callable[[str], None]


def test_names_come_sorted_by_prefix_and_in_pages(blobs: BlobStore) -> None:
    names = sorted(f"{upload}/{part}-00" for upload in ("aa11", "aa22", "bb33") for part in range(3))
    for name in reversed(names):
        blobs.append(name, [b"x"])

    assert blobs.names("", limit=100) == names
    assert blobs.names("aa22/", limit=100) == names[3:6]
    assert blobs.names("aa", limit=2) == names[:2]
    assert blobs.names("aa", after=names[1], limit=2) == names[2:4]
    assert blobs.names("", after=names[-1], limit=5) == []
    assert blobs.names("cc", limit=5) == []


@pytest.fixture
def leave(blobs: BlobStore, environment: Mapping[str, str]) -> Leave:
    """Leaves something among the objects that is none, under a path below them."""
    if isinstance(blobs, FilesystemBlobs):
        root = Path(environment["LADING_DATA"]) / "blobs"

        def put(path: str) -> None:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"stray")
    else:

        def put(path: str) -> None:
            # In a bucket there are no folders of two characters.
            blobs.append(path, [b"stray"])

    return put


def test_what_is_no_object_is_a_stray(blobs: BlobStore, leave: Leave) -> None:
    objects = sorted(f"{upload}/0-00" for upload in ("aa11", "bb22", "cc33"))
    for name in objects:
        blobs.append(name, [b"x"])
    # In the bucket's own terms; in a folder, each lies where an object, an upload or a shard would.
    strays = {".DS_Store", "aa/.nfs0001", "zz", "dd/dd44", "bb/bb22/.hidden", "cc/cc33/0-00.tmp", "lost+found/a/b"}
    if not isinstance(blobs, FilesystemBlobs):
        strays -= {"dd/dd44"}
    for stray in strays:
        leave(stray)

    assert blobs.names("", limit=100) == objects
    assert blobs.names("aa11/", limit=100) == ["aa11/0-00"]
    assert blobs.names("dd44/", limit=100) == []
    assert blobs.names("aa", limit=1) == ["aa11/0-00"]
    assert blobs.names("", after="aa11/0-00", limit=1) == ["bb22/0-00"]
    found = blobs.strays(limit=100)
    assert set(found) == strays - {"lost+found/a/b"} | {
        "lost+found" if isinstance(blobs, FilesystemBlobs) else "lost+found/a/b"
    }
    assert blobs.strays(limit=2) == found[:2]


def test_a_folder_in_the_place_of_an_object_is_a_stray(tmp_path: Path) -> None:
    blobs = FilesystemBlobs(tmp_path)
    blobs.append("aa11/0-00", [b"x"])
    (tmp_path / "aa/aa11/1-00").mkdir()
    (tmp_path / "ee").write_text("a file in the place of a folder")

    assert blobs.names("", limit=9) == blobs.names("aa11/", limit=9) == ["aa11/0-00"]
    assert blobs.names("ee11/", limit=9) == []
    assert blobs.strays(limit=9) == ["ee", "aa/aa11/1-00"]


@pytest.fixture
def listed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each folder is listed."""
    counts: Counter[str] = Counter()
    scandir = os.scandir

    def counted(path: str) -> object:
        counts[str(path)] += 1
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    return counts


def test_an_upload_is_listed_without_the_others(tmp_path: Path, listed: Counter[str]) -> None:
    blobs = FilesystemBlobs(tmp_path)
    for number in range(300):
        blobs.append(f"aa{number:03}/0-00", [b"x"])

    assert blobs.names("aa007/", limit=100) == ["aa007/0-00"]

    assert listed == {str(tmp_path / "aa/aa007"): 1}


def test_a_listing_of_everything_lists_each_folder_once(tmp_path: Path, listed: Counter[str]) -> None:
    blobs = FilesystemBlobs(tmp_path)
    names = sorted(
        f"{shard}{number:02}/{part}-00" for shard in ("aa", "bb") for number in range(30) for part in range(3)
    )
    for name in names:
        blobs.append(name, [b"x"])

    found = [after := ""]
    while page := blobs.names("", after=after, limit=7):
        found += page
        after = page[-1]

    assert found[1:] == names
    assert len(listed) == 1 + 2 + 60
    # The page behind the last one looks once more whether something has come.
    assert listed.total() <= len(listed) + 3


def test_a_listing_begins_where_another_process_stopped(tmp_path: Path, listed: Counter[str]) -> None:
    blobs = FilesystemBlobs(tmp_path)
    for shard in ("aa", "bb", "cc"):
        for number in range(30):
            blobs.append(f"{shard}{number:02}/0-00", [b"x"])

    assert FilesystemBlobs(tmp_path).names("", after="bb20/0-00", limit=5) == [f"bb{n}/0-00" for n in range(21, 26)]

    assert str(tmp_path / "aa") not in listed
    assert len(listed) <= 2 + 7


def test_an_upload_sorts_as_its_objects_do(blobs: BlobStore) -> None:
    names = ["aa-1/0-00", "aa/0-00", "aab/0-00"]
    for name in names:
        blobs.append(name, [b"x"])

    assert blobs.names("", limit=9) == names
    assert [blobs.names("", after=after, limit=1) for after in names] == [[names[1]], [names[2]], []]


def test_a_folder_that_goes_while_something_is_written_into_it_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs, make = FilesystemBlobs(tmp_path), Path.mkdir
    gone: list[Path] = []

    def lost(path: Path, *words: Any, **more: Any) -> None:
        make(path, *words, **more)
        if len(path.name) > 2 and path not in gone:
            # As where another request deletes the last object in it.
            path.rmdir()
            gone.append(path)

    monkeypatch.setattr(Path, "mkdir", lost)
    blobs.append("aa11/0", [b"x"])
    blobs.replace("bb11/0", "aa11/0")

    assert [path.name for path in gone] == ["aa11", "bb11"]
    assert blobs.names("", limit=9) == ["bb11/0"]
