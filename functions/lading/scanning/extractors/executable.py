"""Executable files: which files are some, and where in them declarations are."""

import struct
from collections.abc import Iterator
from os import SEEK_END
from typing import BinaryIO, Final, Literal

from lading.scanning.limits import MIB

CHUNK_SIZE: Final = MIB
ELF: Final = b"\x7fELF"
ELF_TYPES: Final = (2, 3)
"""ET_EXEC and ET_DYN: executables and shared libraries, not object files (https://gabi.xinuos.com/elf/02-eheader.html)."""
MACH_O: Final = (b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
PE: Final = b"MZ"
MAX_SECTIONS: Final = 0xFF00
"""A file with more keeps their number elsewhere; no real executable has."""


def is_executable(head: bytes) -> bool:
    """Return whether a file that begins with `head` is an executable or a shared library of Linux, Windows or macOS."""
    if head.startswith(ELF) and len(head) >= 18:
        return int.from_bytes(head[16:18], _byte_order(head)) in ELF_TYPES
    return head.startswith((PE, *MACH_O)) and len(head) > 64


def find_all(content: BinaryIO, needle: bytes) -> Iterator[int]:
    """Yield each offset of `needle`, whatever the format of the file. The content may be moved in between."""
    start, tail = 0, b""
    content.seek(0)
    while data := content.read(CHUNK_SIZE):
        position = content.tell()
        window = tail + data
        at = window.find(needle)
        while at >= 0:
            yield start + at
            at = window.find(needle, at + len(needle))
        tail = window[-(len(needle) - 1) :]
        start = position - len(tail)
        content.seek(position)


def elf_section(content: BinaryIO, name: bytes) -> tuple[int, int] | None:
    """Return offset and size of a section of an ELF file, or None; also for a file that is cut off.

    Read by hand: it costs three reads, and a hostile table of sections costs no more. A library that builds an object
    for each section, and reads each name up to its end, takes minutes for 65,000 sections with long names.
    """
    end = content.seek(0, SEEK_END)
    content.seek(0)
    header = content.read(64)
    if not header.startswith(ELF) or len(header) < 64:
        return None
    order = ">" if _byte_order(header) == "big" else "<"
    is_64 = header[4] == 2
    table = struct.unpack_from(f"{order}Q" if is_64 else f"{order}I", header, 0x28 if is_64 else 0x20)[0]
    size, count, names = struct.unpack_from(f"{order}HHH", header, 0x3A if is_64 else 0x2E)
    row = struct.Struct(f"{order}IIQQQQ24x" if is_64 else f"{order}IIIIII16x")
    if size != row.size or names >= count or count > MAX_SECTIONS or table + size * count > end:
        return None
    content.seek(table)
    rows = list(row.iter_unpack(content.read(size * count)))
    content.seek(min(rows[names][4], end))
    strings = content.read(min(rows[names][5], MIB))
    for start, _, _, _, offset, length in rows:
        if strings.startswith(name + b"\0", start):
            return offset, length
    return None


def _byte_order(head: bytes) -> Literal["little", "big"]:
    return "big" if head[5] == 2 else "little"
