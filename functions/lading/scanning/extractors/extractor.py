"""Extractor: reads the packages that one file declares."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol

from lading.scanning.packages import Package

HEAD_SIZE: Final = 512
"""Bytes of a file's beginning that `Extractor.wants` receives."""


@dataclass(frozen=True, slots=True)
class File:
    """A regular file of a layer.

    Attributes:
        path: without a leading slash.
        size: in bytes.
        content: seekable, at its beginning. It ends when `Extractor.packages` has returned, which must not close it.
        note: records what could not be read of the file, a sentence; the packages that were read are kept.
    """

    path: str
    size: int
    content: BinaryIO
    note: Callable[[str], None]


class Extractor(Protocol):
    """Reads the packages that files of one format declare.

    Attributes:
        name: names the format in notes, such as "database of dpkg".
        limit: the largest file in bytes that it reads; a larger one is noted.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    @property
    def limit(self) -> int:
        """See the class."""
        ...

    def wants(self, path: str, size: int, head: bytes) -> bool:
        """Return whether a file may have this format, by its path or its first HEAD_SIZE bytes.

        It is called for each file of a layer, so it compares the path first.
        """
        ...

    def packages(self, file: File) -> Iterable[Package]:
        """Yield the packages that a file declares; none for a file that only looks like one.

        It may raise anything for a file that is damaged, or hostile: what was yielded before is kept, and the exception
        becomes a note. It must hold no more than `limit` bytes, nor write to disk.
        """
        ...
