"""The Range of a pull (RFC 9110, section 14), and the Content-Range of a chunk (distribution-spec, end-5)."""

import re
from typing import Final

from werkzeug.datastructures import Range
from werkzeug.http import parse_range_header

from functions.registry.errors import RANGE_UNSATISFIABLE, UPLOAD_INVALID, RegistryError

_CHUNK: Final = re.compile(r"([0-9]{1,18})-([0-9]{1,18})")


def requested(header: str | None, size: int) -> tuple[int, int] | None:
    """Which bytes of `size` a Range header asks for, from one up to, not including, the other; None for all of them.

    What is not one range of bytes is as good as no header, as the RFC allows. Raises RANGE_UNSATISFIABLE.
    """
    parsed: Range | None = parse_range_header(header) if header else None
    if parsed is None or parsed.units != "bytes" or len(parsed.ranges) != 1:
        return None
    start, stop = parsed.ranges[0]
    if start < 0:
        start = max(0, size + start)
    if start >= size:
        raise RegistryError(RANGE_UNSATISFIABLE, {"size": size})
    return start, size if stop is None else min(stop, size)


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
