"""Header of an installed package of rpm: tags and their values (https://rpm-software-management.github.io/rpm/manual)."""

import struct
from collections.abc import Iterator
from typing import Final

INTRO: Final = struct.Struct(">II")
ENTRY: Final = struct.Struct(">IIII")
INT32: Final = 4
STRING: Final = 6
STRING_ARRAY: Final = 8
I18N_STRING: Final = 9
TAGS: Final = {
    1000: "name",
    1001: "version",
    1002: "release",
    1003: "epoch",
    1014: "license",
    1022: "arch",
    1044: "source",
}


def parse(header: bytes) -> dict[str, str]:
    """Return the values of TAGS that a header has; of several strings the first.

    Raises:
        ValueError: it is damaged.
    """
    if len(header) < INTRO.size:
        raise ValueError("the header of a package is truncated")
    count, size = INTRO.unpack_from(header)
    start = INTRO.size + count * ENTRY.size
    if start + size > len(header):
        raise ValueError("the header of a package is truncated")
    data = memoryview(header)[start : start + size]
    return dict(_values(memoryview(header)[INTRO.size : start], data))


def _values(entries: memoryview, data: memoryview) -> Iterator[tuple[str, str]]:
    for tag, type, offset, count in ENTRY.iter_unpack(entries):
        if tag not in TAGS or not count:
            continue
        if type in (STRING, STRING_ARRAY, I18N_STRING):
            yield TAGS[tag], bytes(data[offset : offset + 4096]).partition(b"\0")[0].decode("utf-8", "replace")
        elif type == INT32:
            yield TAGS[tag], str(int.from_bytes(data[offset : offset + 4], "big"))
