"""Databases of rpm: where they keep the headers of installed packages, in each of their three formats.

Berkeley DB and ndb are read by hand. dissect.database reads neither hash pages of before 4.6 (CentOS 5) nor big-endian
ones (s390x), and follows the cycles of damaged ones for ever.
"""

import struct
from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import Any, BinaryIO, Final

SQLITE_MAGIC: Final = b"SQLite format 3\0"
NDB_MAGIC: Final = b"RpmP"

HASH_MAGIC: Final = 0x061561
"""Of a hash of Berkeley DB, at offset 12 (https://github.com/berkeleydb/libdb/blob/v5.3.28/src/dbinc/db_page.h)."""
HASH_PAGES: Final = (2, 13)
OVERFLOW_PAGE: Final = 7
OFF_PAGE: Final = 3
PAGE_HEADER: Final = 26
SLOT: Final = struct.Struct("<4sIII")
"""Of ndb: a magic number, the number of a package, and its blob's first block and count of blocks. A blob begins with a
magic number, the number of its package, a checksum and its length. The database begins with a magic number, a version,
a generation and how many pages of slots it has.
Source: https://github.com/rpm-software-management/rpm/blob/rpm-4.20.0-release/lib/backend/ndb/rpmpkg.c."""
SLOT_PAGE: Final = 4096
MAX_SLOT_PAGES: Final = 2048


def headers(content: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the header of each package of a database.

    Raises:
        ValueError: the database is damaged, or has another format.
    """
    first = content.read(512)
    content.seek(0)
    if first.startswith(SQLITE_MAGIC):
        yield from _sqlite(content, size)
    elif first.startswith(NDB_MAGIC):
        yield from _ndb(content, size)
    elif (order := _byte_order(first)) is not None:
        yield from _berkeley(content, size, first, order)
    else:
        raise ValueError("it has an unknown format")


def _byte_order(first: bytes) -> str | None:
    """Return the byte order of a hash of Berkeley DB, or None if it is none."""
    for order in "<>":
        if len(first) >= 72 and struct.unpack_from(f"{order}I", first, 12) == (HASH_MAGIC,):
            return order
    return None


def _berkeley(content: BinaryIO, size: int, first: bytes, order: str) -> Iterator[bytes]:
    """Yield the values that have pages of their own; others are the counter of rpm.

    All pages are read in the order of the file, so that no link between them can be a cycle.
    """
    page_size = struct.unpack_from(f"{order}I", first, 20)[0]
    last = struct.unpack_from(f"{order}I", first, 32)[0]
    if page_size not in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536) or first[24]:
        raise ValueError("it is encrypted, or its page size is wrong")
    if size < (last + 1) * page_size:
        raise ValueError("it is truncated")
    left = size
    for number in range(1, last + 1):
        page = _page(content, number, page_size)
        if page[25] not in HASH_PAGES:
            continue
        entries = min(struct.unpack_from(f"{order}H", page, 20)[0], (page_size - PAGE_HEADER) // 2)
        offsets = struct.unpack_from(f"{order}{entries}H", page, PAGE_HEADER)
        for offset in offsets[1::2]:  # keys and values alternate
            if offset + 12 <= page_size and page[offset] == OFF_PAGE:
                first_page, length = struct.unpack_from(f"{order}II", page, offset + 4)
                left -= length
                if left < 0:
                    raise ValueError("its values are larger than the database")
                yield _overflow(content, page_size, order, first_page, length)


def _page(content: BinaryIO, number: int, page_size: int) -> bytes:
    content.seek(number * page_size)
    page = content.read(page_size)
    if len(page) != page_size:
        raise ValueError("one of its pages is outside of it")
    return page


def _overflow(content: BinaryIO, page_size: int, order: str, number: int, length: int) -> bytes:
    """Return a value of `length` bytes that begins in the page `number`."""
    value = bytearray()
    while len(value) < length:
        page = _page(content, number, page_size)
        used = struct.unpack_from(f"{order}H", page, 22)[0]
        value += page[PAGE_HEADER : PAGE_HEADER + used]
        if page[25] != OVERFLOW_PAGE or (used != page_size - PAGE_HEADER and len(value) < length):
            raise ValueError("one of its pages has the wrong type, or is not full")
        number = struct.unpack_from(f"{order}I", page, 16)[0]
    return bytes(value[:length])


def _ndb(content: BinaryIO, size: int) -> Iterator[bytes]:
    _, version, _, slot_pages = SLOT.unpack(content.read(SLOT.size))
    if version != 0 or not 0 < slot_pages <= MAX_SLOT_PAGES:
        raise ValueError("its version or size is unknown")
    content.seek(2 * SLOT.size)  # the header takes two slots
    slots = content.read(slot_pages * SLOT_PAGE - 2 * SLOT.size)
    if len(slots) % SLOT.size:
        raise ValueError("it is truncated")
    left = size
    for magic, package, block, _ in SLOT.iter_unpack(slots):
        if magic != b"Slot":
            raise ValueError("one of its slots is damaged")
        if not package:
            continue
        content.seek(block * SLOT.size)
        blob = content.read(SLOT.size)
        if len(blob) != SLOT.size or blob[:4] != b"BlbS":
            raise ValueError("one of its blobs is damaged")
        _, owner, _, length = SLOT.unpack(blob)
        left -= length
        if owner != package or left < 0:
            raise ValueError("one of its blobs is damaged")
        header = content.read(length)
        if len(header) != length:
            raise ValueError("it is truncated")
        yield header


def _sqlite(content: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the blobs of the table Packages, without SQLite itself, which is written in C."""
    from dissect.database.sqlite3 import SQLite3

    database = SQLite3(_Unnamed(content))
    if size < database.page_size * database.page_count:
        raise ValueError("it is truncated")
    # Each page of a sound database is read once or twice; cycles of a damaged one have no end.
    database.page = _limited(database.page, 4 * size // database.page_size + 1000)
    database.raw_page = _limited(database.raw_page, 4 * size // database.page_size + 1000)
    packages = database.table("Packages")
    if packages is None:
        raise ValueError("it has no table Packages")
    for row in packages.rows():
        yield row.blob


class _Unnamed(RawIOBase):
    """A file without a name: by that of another, SQLite3 looks for its log on this machine."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        return self._content.seek(position, whence)

    def tell(self) -> int:
        return self._content.tell()


def _limited(function: Callable[[int], Any], limit: int) -> Callable[[int], Any]:
    """Return a function that may be called `limit` times."""
    calls = iter(range(limit))

    def limited(number: int) -> Any:
        if next(calls, None) is None:
            raise ValueError("its pages are linked in a cycle")
        return function(number)

    return limited
