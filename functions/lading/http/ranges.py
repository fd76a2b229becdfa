"""The Range of a pull (RFC 9110, section 14), and the Content-Range of a chunk (distribution-spec, end-5)."""

import re
from itertools import pairwise
from typing import Final

from werkzeug.datastructures import Range
from werkzeug.http import parse_range_header

from lading.registry.errors import RANGE_UNSATISFIABLE, UPLOAD_INVALID, RegistryError

MAX_RANGES: Final = 1_024
"""Maximum ranges of one request: as many as containers/storage requests of a layer in zstd:chunked."""

_CHUNK: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


def requested(header: str | None, size: int) -> list[tuple[int, int]]:
    """Parse the Range header of a request.

    Args:
        header: the header's value, or None.
        size: the size of the content in bytes.

    Returns:
        The first offset of each range, and the offset after its last byte; ranges beyond the end are omitted. An empty
        list stands for the whole content: where there is no header, or its unit is not bytes, where the content is
        empty, and where the ranges are more than MAX_RANGES, out of order or overlapping. So no response is longer than
        the content and a part's header for each range (RFC 9110, section 14.2).

    Raises:
        RegistryError: RANGE_UNSATISFIABLE where all ranges are beyond the end.
    """
    parsed: Range | None = parse_range_header(header) if header and size else None
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) > MAX_RANGES:
        return []
    ranges = [_resolved(start, stop, size) for start, stop in parsed.ranges]
    satisfiable = [(start, stop) for start, stop in ranges if start < stop]
    if not satisfiable:
        raise RegistryError(RANGE_UNSATISFIABLE, {"size": size})
    return [] if any(stop > start for (_, stop), (start, _) in pairwise(satisfiable)) else satisfiable


def _resolved(start: int, stop: int | None, size: int) -> tuple[int, int]:
    """Return a range as offsets; a negative `start` counts from the end. The range is empty if beyond the end."""
    first = max(0, size + start) if start < 0 else start
    return first, size if stop is None else min(stop, size)


def chunk(header: str | None, size: int | None) -> tuple[int | None, int | None]:
    """Return the offset and the size of an upload's chunk; None where unknown.

    Args:
        header: the Content-Range, or None.
        size: the Content-Length in bytes, or None.

    Raises:
        RegistryError: UPLOAD_INVALID where the header is malformed or the two disagree.
    """
    if header is None:
        return None, size
    match = _CHUNK.fullmatch(header)
    if match is None:
        raise RegistryError(UPLOAD_INVALID, {"reason": "Content-Range is not <start>-<end>"})
    start, end = int(match[1]), int(match[2])
    length = end - start + 1
    if length < 1:
        raise RegistryError(UPLOAD_INVALID, {"reason": "Content-Range ends before it begins"})
    # An empty chunk has no last byte; clients send it as `0-0`.
    if size is not None and size != length and not (size == 0 and end == start):
        raise RegistryError(UPLOAD_INVALID, {"reason": "Content-Range and Content-Length do not agree"})
    return start, length if size is None else size
