"""Members of a layer: a tar stream that is read once, forwards, with limits on what its headers may cost.

tarfile reads the headers, of ustar, pax and GNU tar, with sparse files. Only one member is held in memory.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from posixpath import normpath
from typing import IO, Any, BinaryIO, Final, cast

from lading.scanning.compression import LayerError
from lading.scanning.limits import MAX_HEADERS, MAX_MEMBERS, MIB

END: Final = bytes(tarfile.BLOCKSIZE)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a layer.

    Attributes:
        path: normalised, without a leading slash; never above the root.
        is_file: whether it is a regular file, also a sparse one.
        is_folder: whether it is a directory.
        is_executable: whether any user may execute it.
        link: the path of which it is another name (hard link), or "".
        target: what it points to (symbolic link), or "".
        size: of a regular file, in bytes.
        content: of a regular file, forward-only. It ends with the next member.
    """

    path: str
    is_file: bool
    is_folder: bool
    is_executable: bool
    link: str
    target: str
    size: int
    content: BinaryIO


class LayerStream(RawIOBase):
    """What a layer contains, as a file that moves forwards only.

    It counts what is read of headers: `tarfile` would read an extended header of 1 GiB into memory.
    """

    def __init__(self, chunks: Iterator[bytes], limit: int) -> None:
        """Read `chunks`, and no more than `limit` bytes of them."""
        self._chunks = chunks
        self._limit = limit
        self._chunk = memoryview(b"")
        self._at = 0
        self.header_budget: int | None = None
        """Bytes that may still be read of headers; None while the content of a file is read."""
        self.last = b""
        """What was read last, which tells the end of an archive from a damaged header."""

    def readable(self) -> bool:
        """See RawIOBase."""
        return True

    def seekable(self) -> bool:
        """See RawIOBase."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._at

    def seek(self, position: int, whence: int = 0) -> int:
        """Move forwards to `position`, or to the end."""
        if whence != 0 or position < self._at:
            raise LayerError("its tar stream names a position before the current one")
        while self._at < position and self._fill():
            self._take(position - self._at)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Return `size` bytes, or fewer at the end."""
        if self.header_budget is not None:
            self.header_budget -= size
            if self.header_budget < 0:
                raise LayerError(f"the headers of one of its files are larger than {MAX_HEADERS // 1024} KiB")
        parts = []
        while size > 0 and self._fill():
            parts.append(self._take(size))
            size -= len(parts[-1])
        self.last = b"".join(parts)
        return self.last

    def drain(self) -> None:
        """Read to the end, so that damage after the last file is noticed."""
        while self._fill():
            self._take(len(self._chunk))

    def _fill(self) -> bool:
        """Have at least one byte, or return False at the end."""
        while not self._chunk:
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._chunk = memoryview(chunk)
        return True

    def _take(self, size: int) -> memoryview:
        taken, self._chunk = self._chunk[:size], self._chunk[size:]
        self._at += len(taken)
        if self._at > self._limit:
            raise LayerError(f"it contains more than {self._limit // MIB} MiB, too much for its size as stored")
        return taken


class _Content(RawIOBase):
    """The content of a regular file in a stream. Where that is truncated, the next header cannot be read."""

    def __init__(self, stream: LayerStream, size: int) -> None:
        self._stream = stream
        self._left = size

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def members(stream: LayerStream) -> Iterator[Member]:
    """Yield the members of a tar stream, in its order.

    Raises:
        LayerError: it is no tar archive, damaged, truncated, or above a limit.
    """
    archive: tarfile.TarFile | None = None
    for _ in range(MAX_MEMBERS):
        stream.header_budget = MAX_HEADERS
        try:
            # The constructor reads the first member, which its first next() returns.
            archive = archive or tarfile.TarFile(fileobj=cast(IO[bytes], stream))
            found = archive.next()
        except (tarfile.TarError, ArithmeticError, LookupError, RecursionError, ValueError) as error:
            raise LayerError(f"its tar stream is corrupt ({error})") from error
        finally:
            stream.header_budget = None
        if found is None:
            _check_end(stream)
            return
        cast(Any, archive).members = []  # else it keeps all of them
        yield _member(archive, found, stream)
    raise LayerError(f"it contains more than {MAX_MEMBERS:,} files")


def _check_end(stream: LayerStream) -> None:
    """Read what follows the last member; tarfile takes a damaged header for the end.

    Runtimes accept an archive without its two blocks of zeros (https://pkg.go.dev/archive/tar#Reader.Next).
    """
    if stream.last not in (END, b""):
        raise LayerError("its tar stream is corrupt (the header of one of its files is damaged)")
    stream.drain()


def _member(archive: tarfile.TarFile, found: tarfile.TarInfo, stream: LayerStream) -> Member:
    is_file = found.isreg() or found.type not in tarfile.SUPPORTED_TYPES
    content = (found.isreg() and found.issparse() and archive.extractfile(found)) or _Content(stream, found.size)
    return Member(
        path=normalized(found.name),
        is_file=is_file,
        is_folder=found.isdir(),
        is_executable=bool(found.mode & 0o111),
        link=normalized(found.linkname) if found.islnk() else "",
        target=text_of(found.linkname) if found.issym() else "",
        size=found.size if is_file else 0,
        content=cast(BinaryIO, content),
    )


def normalized(name: str) -> str:
    """Return a path as a runtime resolves it: below the root, without ".", ".." and leading slashes."""
    return normpath(f"/{text_of(name)}").lstrip("/")


def text_of(name: str) -> str:
    """Return a name with U+FFFD for what is not UTF-8, so that it can be written as JSON."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
