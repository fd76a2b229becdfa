"""What BlobStore promises, on every driver."""

import contextlib
import itertools
import os
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import google_crc32c
import pytest

from lading_storage.errors import Corrupt, ObjectNotFound
from lading_storage.google.gcs import CloudStorageBlobs
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.protocols import BlobStore, object_exists
from lading_storage.stores import Stores


@pytest.fixture
def blobs(stores: Stores) -> BlobStore:
    return stores.blobs


def read(blobs: BlobStore, name: str, start: int, stop: int) -> bytes:
    return b"".join(blobs.open(name, start, stop))


Leave = Callable[[str], None]


def len_or_none(content: bytes | None) -> str:
    return "missing" if content is None else f"{len(content)}"


def new_name(part: str = "0-00") -> str:
    return f"{secrets.token_hex(16)}/{part}"


@pytest.mark.parametrize("size", [None, 300_000])
def test_what_is_appended_is_read_back(blobs: BlobStore, size: int | None) -> None:
    content, name = secrets.token_bytes(300_000), new_name()

    stored = blobs.append(name, (content[at : at + 100_000] for at in range(0, 300_000, 100_000)), size)

    assert stored.size == 300_000
    assert stored.crc32c in (None, google_crc32c.value(content))
    assert read(blobs, name, 0, 300_000) == content


@pytest.mark.parametrize("size", [None, 0])
def test_an_object_may_be_empty(blobs: BlobStore, size: int | None) -> None:
    name = new_name()

    assert blobs.append(name, (), size).size == 0
    assert read(blobs, name, 0, 0) == b""
    assert blobs.names("", limit=10) == [name]


def test_a_range_is_read(blobs: BlobStore) -> None:
    content, name = secrets.token_bytes(2_000_000), new_name()
    blobs.append(name, [content])

    assert read(blobs, name, 5, 17) == content[5:17]
    assert read(blobs, name, 1_999_990, 2_000_000) == content[-10:]
    assert read(blobs, name, 300_000, 1_700_001) == content[300_000:1_700_001]


def test_a_reader_may_stop_early(blobs: BlobStore) -> None:
    name = new_name()
    blobs.append(name, [bytes(3_000_000)])

    pieces = blobs.open(name, 0, 3_000_000)
    assert 0 < len(next(iter(pieces))) <= 1024 * 1024
    with contextlib.closing(pieces):  # type: ignore[type-var]  # all drivers give generators
        pass


def test_a_reader_may_stop_before_the_first_chunk(blobs: BlobStore) -> None:
    name, opened = new_name(), []
    blobs.append(name, [bytes(3_000_000)])
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(10):
        chunks = blobs.open(name, 0, 3_000_000)
        chunks.close()  # type: ignore[attr-defined]  # all drivers give generators
        opened.append(chunks)

    # One connection may be kept for the next request.
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_what_is_not_there_is_missing_at_once(blobs: BlobStore) -> None:
    with pytest.raises(ObjectNotFound):
        blobs.open(new_name(), 0, 1)


class BodyError(Exception):
    pass


def failing() -> Iterator[bytes]:
    yield bytes(100_000)
    raise BodyError


@pytest.mark.parametrize("size", [None, 500_000])
def test_a_body_that_fails_leaves_nothing(blobs: BlobStore, size: int | None) -> None:
    with pytest.raises(BodyError):
        blobs.append(new_name(), failing(), size)

    assert blobs.names("", limit=10) == []


@pytest.mark.parametrize("size", [99_999, 100_001, 0])
def test_a_body_of_another_size_leaves_nothing(blobs: BlobStore, size: int) -> None:
    with pytest.raises(Corrupt):
        blobs.append(new_name(), [bytes(60_000), bytes(40_000)], size)

    assert blobs.names("", limit=10) == []
    # Whatever connection that was sent over, what comes next is not taken for its rest.
    name = new_name()
    blobs.append(name, [b"next"], 4)
    assert read(blobs, name, 0, 4) == b"next"


@pytest.mark.parametrize("count", [1, 2, 33, 70])
def test_parts_are_joined_in_order(blobs: BlobStore, count: int) -> None:
    upload = secrets.token_hex(16)
    parts = [secrets.token_bytes(10 + number) for number in range(count)]
    names = [f"{upload}/{number}-aa" for number in range(count)]
    for name, part in zip(names, parts, strict=True):
        blobs.append(name, [part])

    stored = blobs.join(f"{upload}/whole", names)

    whole = b"".join(parts)
    assert stored.size == len(whole)
    assert stored.crc32c in (None, google_crc32c.value(whole))
    assert read(blobs, f"{upload}/whole", 0, len(whole)) == whole
    assert sorted(blobs.names(upload, limit=1000)) == sorted([*names, f"{upload}/whole"])


def test_a_deleted_object_is_gone_and_deleting_again_is_nothing(blobs: BlobStore) -> None:
    upload = secrets.token_hex(16)
    for part in ("0-aa", "1-bb"):
        blobs.append(f"{upload}/{part}", [b"x"])

    blobs.delete(f"{upload}/0-aa")
    blobs.delete(f"{upload}/0-aa")

    assert blobs.names("", limit=10) == [f"{upload}/1-bb"]
    with pytest.raises(ObjectNotFound):
        blobs.open(f"{upload}/0-aa", 0, 1)


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


def test_many_threads_write_at_once(blobs: BlobStore) -> None:
    contents = {new_name(): secrets.token_bytes(50_000) for _ in range(24)}

    threads = [threading.Thread(target=blobs.append, args=(name, [each])) for name, each in contents.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(read(blobs, name, 0, 50_000) == content for name, content in contents.items())


@pytest.mark.parametrize("stored", [None, b"", b"short", b"y" * 300_000, b"x" * 300_001], ids=len_or_none)
def test_a_replaced_object_has_the_bytes_of_the_other(blobs: BlobStore, stored: bytes | None) -> None:
    content, name, by = b"x" * 300_000, new_name(), new_name()
    beside = f"{by.partition('/')[0]}/1-00"
    if stored is not None:
        blobs.append(name, [stored] if stored else [])
    for each in (by, beside):
        blobs.append(each, [content])

    blobs.replace(name, by)

    assert read(blobs, name, 0, 300_000) == content
    assert object_exists(blobs, name, 300_000)
    assert blobs.names("", limit=10) == sorted([name, beside])
    blobs.delete(beside)
    assert blobs.names("", limit=10) == [name]


def test_nothing_is_replaced_by_an_object_that_is_missing(blobs: BlobStore) -> None:
    there, lacking = new_name(), new_name()
    blobs.append(there, [b"good"])

    for name in (there, lacking):
        with pytest.raises(ObjectNotFound):
            blobs.replace(name, new_name())

    assert blobs.names("", limit=10) == [there]
    assert read(blobs, there, 0, 4) == b"good"


def test_a_reader_sees_an_object_as_it_was_or_whole_while_it_is_replaced(blobs: BlobStore) -> None:
    name, size = new_name(), 400_000
    blobs.append(name, [b"a" * size])
    seen: list[bytes] = []
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            seen.append(read(blobs, name, 0, size))

    reader = threading.Thread(target=look)
    reader.start()
    for letter in b"bcdefgh":
        by = new_name()
        blobs.append(by, [bytes([letter]) * size])
        blobs.replace(name, by)
    done.set()
    reader.join()

    assert seen
    assert all(len(each) == size and len(set(each)) == 1 for each in seen)


@pytest.mark.parametrize("size", [0, 1, 5, 300_000])
def test_an_object_is_there_with_exactly_its_size(blobs: BlobStore, size: int) -> None:
    name = new_name()
    blobs.append(name, [bytes(size)] if size else [])

    assert object_exists(blobs, name, size)
    assert not any(object_exists(blobs, name, other) for other in (size - 1, size + 1, size + 100_000) if other >= 0)
    assert not object_exists(blobs, new_name(), size)


def test_too_few_bytes_are_given_and_are_corrupt(blobs: BlobStore) -> None:
    name = new_name()
    blobs.append(name, [b"few"])
    given: list[bytes] = []

    with pytest.raises(Corrupt):
        given.extend(blobs.open(name, 0, 10))

    assert b"".join(given) == b"few"


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


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


STEPS = {FilesystemBlobs: "flush_folder", CloudStorageBlobs: "CloudStorageBlobs.delete"}
"""What happens in a replacement besides the one atomic step, by which it can be stopped before and after that."""


def test_whoever_is_killed_in_a_replacement_leaves_the_object_as_it_was_or_whole(blobs: BlobStore) -> None:
    step = f"{type(blobs).__module__}.{STEPS[type(blobs)]}"
    seen = set()
    for point in itertools.count():
        name, by = new_name(), new_name()
        blobs.append(name, [b"cut"])
        blobs.append(by, [b"whole"])
        calls = itertools.count()

        def kill(*_: Any, calls: Iterator[int] = calls, point: int = point) -> None:
            if next(calls) == point:
                raise Killed

        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(step, kill)
            blobs.replace(name, by)
        is_whole = object_exists(blobs, name, 5)
        assert is_whole or object_exists(blobs, name, 3)
        seen.add(is_whole)
        # A second try, with the bytes of another push.
        again = new_name()
        blobs.append(again, [b"whole"])
        blobs.replace(name, again)
        assert read(blobs, name, 0, 5) == b"whole"
        if next(calls) <= point:
            break
    assert point > 0
    assert True in seen
