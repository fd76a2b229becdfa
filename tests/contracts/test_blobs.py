"""What BlobStore promises, on every driver."""

import contextlib
import secrets
import threading
from collections.abc import Iterator

import google_crc32c
import pytest

from functions.jobs.backup import Stores
from storage.errors import Corrupt, Missing
from storage.protocols import BlobStore


@pytest.fixture
def blobs(stores: Stores) -> BlobStore:
    return stores.blobs


def read(blobs: BlobStore, name: str, start: int, stop: int) -> bytes:
    return b"".join(blobs.open(name, start, stop))


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


def test_what_is_not_there_is_missing_at_once(blobs: BlobStore) -> None:
    with pytest.raises(Missing):
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
    with pytest.raises(Missing):
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
