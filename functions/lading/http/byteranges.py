"""Responses with several ranges: multipart/byteranges (RFC 9110, section 14.6).

Each part is a header and the bytes of one range, in the order of the request. Only the headers are in memory, and small
parts that are sent together. A range is opened once the previous one has been read, except for the first, so that a
missing blob still becomes an error status.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

OpenRange = Callable[[int, int], Iterator[bytes]]
"""Returns the bytes from one offset up to, not including, another one."""

MIN_CHUNK_SIZE: Final = 32 * 1024
"""Minimum bytes of a chunk, except for the last: to pass one to the server costs more than to join small ones."""

_BOUNDARY_BYTES: Final = 16


class ByteRanges(NamedTuple):
    """The content of a multipart response.

    media_type  the media type with the boundary, a random text
    size        bytes of the content
    chunks      the content
    """

    media_type: str
    size: int
    chunks: Iterator[bytes]


def byteranges(ranges: Sequence[tuple[int, int]], total: int, part_type: str, open: OpenRange) -> ByteRanges:
    """Return the content of a response with several ranges.

    Args:
        ranges: the first offset of each range, and the offset after its last byte.
        total: the size of the whole representation in bytes.
        part_type: the media type of the representation.
        open: opens a range; its exceptions for the first one are propagated.
    """
    boundary = secrets.token_hex(_BOUNDARY_BYTES)
    headers = [
        f"--{boundary}\r\nContent-Type: {part_type}\r\nContent-Range: bytes {start}-{stop - 1}/{total}\r\n\r\n".encode()
        for start, stop in ranges
    ]
    end = f"--{boundary}--\r\n".encode()
    # Each part ends with CRLF.
    size = sum(len(header) + stop - start + 2 for header, (start, stop) in zip(headers, ranges, strict=True)) + len(end)
    first = open(*ranges[0])

    def parts() -> Iterator[bytes]:
        for index, (header, (start, stop)) in enumerate(zip(headers, ranges, strict=True)):
            yield header
            yield from open(start, stop) if index else first
            yield b"\r\n"
        yield end

    return ByteRanges(f"multipart/byteranges; boundary={boundary}", size, _coalesced(parts()))


def _coalesced(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in chunks of at least MIN_CHUNK_SIZE, except for the last."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        if len(buffer) >= MIN_CHUNK_SIZE:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)
