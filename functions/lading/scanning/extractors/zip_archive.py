"""Zip archive of a layer, whose sizes, directory and members may lie."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, BinaryIO, Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from lading.scanning.limits import MAX_JAR_CONTENT, MAX_JAR_DIRECTORY, MAX_JAR_MEMBERS, MIB

METHODS: Final = (ZIP_STORED, ZIP_DEFLATED)
"""Others, such as LZMA, let an archive choose how much memory it takes to read it; no jar or egg has them."""
IS_ENCRYPTED: Final = 1
CHUNK_SIZE: Final = MIB
MIN_COST: Final = 4096
"""Bytes that reading a member counts for at least, because opening one takes as long as decompressing so many."""


class ArchiveTooLargeError(Exception):
    """Archive that takes more to read than it may."""


@dataclass(slots=True)
class Budget:
    """What may still be read of an archive, with all archives in it: decompressed bytes, and members."""

    content: int = MAX_JAR_CONTENT
    members: int = MAX_JAR_MEMBERS

    def spend(self, *, content: int = 0, members: int = 0) -> None:
        """Take from it.

        Raises:
            ArchiveTooLargeError: there is not enough left.
        """
        self.content -= content
        self.members -= members
        if self.content < 0:
            raise ArchiveTooLargeError(f"contains more than {MAX_JAR_CONTENT // MIB} MiB to read")
        if self.members < 0:
            raise ArchiveTooLargeError(f"has more than {MAX_JAR_MEMBERS:,} members")


class ZipArchive:
    """Reads members of an archive, each within a limit."""

    def __init__(self, content: BinaryIO, budget: Budget, max_directory: int = MAX_JAR_DIRECTORY) -> None:
        """Read the directory.

        Args:
            content: the archive.
            budget: what is left for it.
            max_directory: the most bytes of the directory.

        Raises:
            BadZipFile: it is no zip archive, or a damaged one.
            ArchiveTooLargeError: the directory is too large.
        """
        self._zip = ZipFile(_DirectoryLimit(content, max_directory))
        self._budget = budget
        budget.spend(members=len(self.members))

    @property
    def members(self) -> Sequence[ZipInfo]:
        """The members, as the directory lists them."""
        return self._zip.filelist

    def read(self, member: ZipInfo, limit: int) -> bytes:
        """Return the content of a member.

        Raises:
            BadZipFile: it is encrypted, compressed by an unknown method, damaged, or larger than the limit.
            ArchiveTooLargeError: all that was read is too large.
        """
        if member.file_size > limit:
            raise BadZipFile(f"it is larger than {limit:,} bytes")
        return self._read(member, limit)

    def head(self, member: ZipInfo, limit: int) -> bytes:
        """Return the beginning of a member, of at most `limit` bytes. Raises as `read`, whatever its size is."""
        return self._read(member, limit)

    def _read(self, member: ZipInfo, limit: int) -> bytes:
        self._budget.spend(content=MIN_COST)
        if member.flag_bits & IS_ENCRYPTED:
            raise BadZipFile("it is encrypted")
        if member.compress_type not in METHODS:
            raise BadZipFile(f"it is compressed by the unknown method {member.compress_type}")
        try:
            with self._zip.open(member) as stream:
                data = _all_of(stream, limit)
        except (zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
            raise BadZipFile(str(error) or "it is cut off") from error
        self._budget.spend(content=max(0, len(data) - MIN_COST))
        return data


def _all_of(stream: IO[bytes], limit: int) -> bytes:
    """Return a stream up to a limit, and to its end if it is there, where its checksum is compared."""
    data = bytearray()
    while chunk := stream.read(min(CHUNK_SIZE, limit - len(data) + 1)):
        data += chunk
        if len(data) > limit:
            break
    return bytes(data[:limit])


class _DirectoryLimit:
    """File of which no more is read at once than a directory may have, because ZipFile reads all of it at once."""

    def __init__(self, content: BinaryIO, limit: int) -> None:
        self._content = content
        self._limit = limit
        self.seek = content.seek
        self.tell = content.tell
        self.seekable = content.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size > max(self._limit, CHUNK_SIZE):
            raise ArchiveTooLargeError(f"has a directory larger than {self._limit // MIB} MiB")
        return self._content.read(self._limit if size < 0 else size)
