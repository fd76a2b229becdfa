"""Responses with several ranges: multipart/byteranges (RFC 9110, section 14.6).

Each part is a header and the bytes of one range, in the order of the request. Only the headers are in memory, and small
parts that are sent together. Near ranges are opened together, since each opening is a request to the store. They are
opened once the previous ones have been read, except for the first, so that a missing blob still becomes an error
status.
"""

import contextlib
import secrets
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from lading_storage.chunks import close_chunks, primed

OpenRange = Callable[[int, int], Iterator[bytes]]
"""Returns the bytes from one offset up to, not including, another one."""

MIN_CHUNK_SIZE: Final = 32 * 1024
"""Minimum bytes of a chunk, except for the last: to pass one to the server costs more than to join small ones."""

MAX_GAP: Final = 64 * 1024
"""Maximum bytes between two ranges that are opened together: reading these bytes from Cloud Storage takes less than a
tenth of the time of another request."""

_BOUNDARY_BYTES: Final = 16


class ByteRanges(NamedTuple):
    """The content of a multipart response.

    media_type  the media type with the boundary, a random text
    size        bytes of the content
    chunks      the content, to be closed by a reader that stops early
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

    def parts() -> Generator[bytes]:
        part_headers = iter(headers)
        for number, group in enumerate(_near(ranges)):
            with contextlib.closing(_Chunks(open(group[0][0], group[-1][1]), group[0][0])) as chunks:
                if not number:
                    yield b""  # the first opening is part of this call
                for start, stop in group:
                    yield next(part_headers)
                    yield from chunks.read(start, stop)
                    yield b"\r\n"
        yield end

    return ByteRanges(f"multipart/byteranges; boundary={boundary}", size, primed(_coalesced(parts())))


def _near(ranges: Sequence[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Return the ranges in groups, those with at most MAX_GAP bytes between them in one."""
    groups = [[ranges[0]]]
    for (_, stop), each in pairwise(ranges):
        if each[0] - stop <= MAX_GAP:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


class _Chunks:
    """The chunks of one opening, from which ascending ranges are read."""

    def __init__(self, chunks: Iterator[bytes], offset: int) -> None:
        """Read from `chunks`, the first of which begins at `offset`."""
        self._chunks = chunks
        self._offset = offset
        self._rest = memoryview(b"")

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes of a range, and discard those before it."""
        while self._offset < stop:
            chunk = self._rest or memoryview(next(self._chunks))
            end = min(len(chunk), stop - self._offset)
            if found := bytes(chunk[max(0, start - self._offset) : end]):
                yield found
            self._rest = chunk[end:]
            self._offset += end

    def close(self) -> None:
        """Close the opening."""
        close_chunks(self._chunks)


def _coalesced(chunks: Generator[bytes]) -> Generator[bytes]:
    """Yield the first chunk, which is b"", and the other bytes in chunks of at least MIN_CHUNK_SIZE, and a last one.

    The chunks are closed at the end, or when this is closed.
    """
    with contextlib.closing(chunks):
        yield next(chunks)
        buffer = bytearray()
        for chunk in chunks:
            buffer += chunk
            if len(buffer) >= MIN_CHUNK_SIZE:
                yield bytes(buffer)
                buffer.clear()
        if buffer:
            yield bytes(buffer)
