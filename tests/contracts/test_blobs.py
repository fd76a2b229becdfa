"""What BlobStore promises, on every driver."""

import contextlib
import itertools
import os
import secrets
import threading
from collections.abc import Iterator
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


class Killed(BaseException):
    """Stands for kill -9: nothing catches it."""


STEPS = {FilesystemBlobs: "flush_folder", CloudStorageBlobs: "CloudStorageBlobs.delete"}
"""What happens in a replacement besides the one atomic step, by which it can be stopped before and after that."""


def test_a_kill_during_a_replacement_leaves_the_old_object_or_the_new_one(blobs: BlobStore) -> None:
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
