"""Lines of a text, however long they are."""

from collections.abc import Iterator
from typing import BinaryIO, Final

MAX_LINE: Final = 64 * 1024
"""Bytes of a line that are read. Names and versions are shorter; a list of dependencies may not be."""


def lines(content: BinaryIO) -> Iterator[bytes]:
    """Yield each line with its newline, or its first MAX_LINE bytes."""
    is_start = True
    while line := content.readline(MAX_LINE):
        if is_start:
            yield line
        is_start = line.endswith(b"\n")
