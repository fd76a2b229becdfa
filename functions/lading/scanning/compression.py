"""Decompress layers: tar, tar+gzip and tar+zstd, by their first bytes, as container runtimes do.

Source: https://github.com/containerd/containerd/blob/main/pkg/archive/compression/compression.go.
"""

import sys
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

from lading.scanning.limits import KIB, MIB

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    import backports.zstd as zstd  # noqa: PLR0402 # its package has no types, only the module has

GZIP_MAGIC: Final = b"\x1f\x8b\x08"
ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
READ_SIZE: Final = 64 * KIB
"""Bytes that are read of a layer as stored at once."""
CHUNK_SIZE: Final = MIB
"""Bytes that are decompressed at once, so that a bomb is noticed before it is in memory."""
GZIP_WINDOW: Final = 31
"""wbits of zlib for gzip with its checksum."""
MAX_ZSTD_WINDOW: Final = 27
"""The largest window of zstd, 2 to the power of this: what its decoders accept by default."""


class LayerError(Exception):
    """A layer cannot be read. The text is the reason, without a period."""


def decompressed(blob: BinaryIO) -> Iterator[bytes]:
    """Yield what a layer contains, in chunks of at most CHUNK_SIZE.

    Raises:
        LayerError: it is truncated, corrupt, or neither tar nor compressed by gzip or zstd.
    """
    first = blob.read(READ_SIZE)
    if first.startswith(GZIP_MAGIC):
        yield from _gunzip(first, blob)
    elif first[:4] == ZSTD_MAGIC or _is_skippable(first):
        yield from _unzstd(first, blob)
    else:
        while first:
            yield first
            first = blob.read(READ_SIZE)


def _is_skippable(first: bytes) -> bool:
    """Return whether a layer begins with a skippable frame of zstd (RFC 8878, section 3.1.2)."""
    return first[1:4] == b"\x2a\x4d\x18" and 0x50 <= first[0] <= 0x5F


def _gunzip(data: bytes, blob: BinaryIO) -> Iterator[bytes]:
    """Yield what all members of gzip contain. eStargz has one for each file."""
    member = zlib.decompressobj(GZIP_WINDOW)
    try:
        while data := data or blob.read(READ_SIZE):
            if chunk := member.decompress(data, CHUNK_SIZE):
                yield chunk
            data = member.unconsumed_tail
            if member.eof:
                # Programs for tapes pad with zeros.
                data = member.unused_data.lstrip(b"\0") or _after_zeros(blob)
                if data:
                    member = zlib.decompressobj(GZIP_WINDOW)
    except zlib.error as error:
        raise LayerError(f"its gzip stream is corrupt ({error})") from error
    if not member.eof:
        raise LayerError("its gzip stream is truncated")


def _after_zeros(blob: BinaryIO) -> bytes:
    """Return the next bytes of a layer as stored that are not zero, or none at its end."""
    while data := blob.read(READ_SIZE):
        if data := data.lstrip(b"\0"):
            return data
    return b""


def _unzstd(data: bytes, blob: BinaryIO) -> Iterator[bytes]:
    """Yield what all frames of zstd contain. zstd:chunked has one for each file, and skippable ones."""
    options = {int(zstd.DecompressionParameter.window_log_max): MAX_ZSTD_WINDOW}
    frame = zstd.ZstdDecompressor(options=options)
    try:
        while (not frame.needs_input and not frame.eof) or (data := data or blob.read(READ_SIZE)):
            if frame.eof:
                frame = zstd.ZstdDecompressor(options=options)
            if chunk := frame.decompress(data, CHUNK_SIZE):
                yield chunk
            data = frame.unused_data
    except zstd.ZstdError as error:
        raise LayerError(f"its zstd stream is corrupt ({error})") from error
    if not frame.eof:
        raise LayerError("its zstd stream is truncated")
