"""An answer of several ranges: multipart/byteranges (RFC 9110, section 14.6).

Each part is a header and the bytes of one range, in the order in which they were asked for. Nothing but the headers is
in memory, and small parts that are sent together; a range is opened when the one before has been read, except the
first, so that a blob that has gone is told by a status.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

OpenRange = Callable[[int, int], Iterator[bytes]]
"""Returns the bytes from one offset up to, not including, another one."""

MIN_PIECE: Final = 32 * 1024
"""Bytes that are sent at a time at least, but for the last: handing one to the server costs more than to join it."""

_BOUNDARY_BYTES: Final = 16


class ByteRanges(NamedTuple):
    """The content of a multipart answer.

    media_type  with the boundary, which no content has but by chance
    size        bytes of the content
    pieces      of the content
    """

    media_type: str
    size: int
    chunks: Iterator[bytes]


def byteranges(ranges: Sequence[tuple[int, int]], total: int, part_type: str, open: OpenRange) -> ByteRanges:
    """Return the content of an answer with `ranges` of a representation of `total` bytes. Raises as `open`."""
    boundary = secrets.token_hex(_BOUNDARY_BYTES)
    headers = [
        f"--{boundary}\r\nContent-Type: {part_type}\r\nContent-Range: bytes {start}-{stop - 1}/{total}\r\n\r\n".encode()
        for start, stop in ranges
    ]
    end = f"--{boundary}--\r\n".encode()
    # Behind each part a line ends.
    size = sum(len(header) + stop - start + 2 for header, (start, stop) in zip(headers, ranges, strict=True)) + len(end)
    first = open(*ranges[0])

    def pieces() -> Iterator[bytes]:
        for index, (header, (start, stop)) in enumerate(zip(headers, ranges, strict=True)):
            yield header
            yield from open(start, stop) if index else first
            yield b"\r\n"
        yield end

    return ByteRanges(f"multipart/byteranges; boundary={boundary}", size, _joined(pieces()))


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces of MIN_PIECE or more, but for the last."""
    joined = bytearray()
    for piece in pieces:
        joined += piece
        if len(joined) >= MIN_PIECE:
            yield bytes(joined)
            joined.clear()
    if joined:
        yield bytes(joined)
