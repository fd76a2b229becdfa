"""The Range of a pull (RFC 9110, section 14), and the Content-Range of a chunk (distribution-spec, end-5)."""

import re
from itertools import pairwise
from typing import Final

from werkzeug.datastructures import Range
from werkzeug.http import parse_range_header

from lading.registry.errors import RANGE_UNSATISFIABLE, UPLOAD_INVALID, RegistryError

MAX_RANGES: Final = 1_024
"""Ranges of one request: as many as containers/storage asks for of a layer in zstd:chunked."""

_CHUNK: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


def requested(header: str | None, size: int) -> list[tuple[int, int]]:
    """Return which bytes of `size` a Range header asks for, each from one up to, not including, the other.

    An empty list stands for all of them: where there is no header, or it is none of bytes, where the content is empty,
    and where the ranges are more than MAX_RANGES, out of order or overlapping, so that no answer is longer than the
    content and one part's header for each range (RFC 9110, section 14.2). Ranges behind the end are left out.
    Raises RANGE_UNSATISFIABLE where no other is left.
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
    """Return a range as offsets; a negative `start` counts from the end. Empty where it is behind the end."""
    first = max(0, size + start) if start < 0 else start
    return first, size if stop is None else min(stop, size)


def chunk(header: str | None, size: int | None) -> tuple[int | None, int | None]:
    """Where a chunk begins and how many bytes it has, from its Content-Range and Content-Length; None for unknown.

    Raises UPLOAD_INVALID where the header is malformed or the two do not agree.
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
    # An empty chunk has no last byte; clients write it as `0-0`.
    if size is not None and size != length and not (size == 0 and end == start):
        raise RegistryError(UPLOAD_INVALID, {"reason": "Content-Range and Content-Length do not agree"})
    return start, length if size is None else size
