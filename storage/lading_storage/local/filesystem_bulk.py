"""Many objects written into a folder of blobs, with one flush for hundreds of them.

FilesystemBlobs flushes each object, its folder and the folder above before it returns: three flushes, some 3 ms. A copy
of 200,000 small objects would take ten minutes by that alone. Here objects are written beside the folder, flushed
together (syncfs), and only then renamed into it: so an object that has its name also has its bytes, whatever happens.

Depends on `FilesystemBlobs._path`, by which a name leads to a file.
"""

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from lading_storage.digests import Hasher, algorithm_of
from lading_storage.errors import Corrupt
from lading_storage.local.durable_folders import FILE_MODE, FOLDER_MODE, make_private
from lading_storage.local.filesystem import FilesystemBlobs, storage_error_of, write_all
from lading_storage.protocols import verified_size

MAX_OBJECTS: Final = 10_000
MAX_BYTES: Final = 1024 * 1024 * 1024
"""Objects, and their bytes, that are written before they are flushed and renamed."""


class BulkBlobs(FilesystemBlobs):
    """A folder of blobs that one process fills. Not for several threads."""

    def __init__(self, root: Path, incoming: Path) -> None:
        """Fill `root`, through the folder `incoming` on the same file system, which is emptied first."""
        super().__init__(root)
        self._incoming = incoming
        self._waiting: list[tuple[Path, Path]] = []
        self._bytes = 0
        self._count = 0
        with _translated_errors(self._root):
            shutil.rmtree(incoming, ignore_errors=True)
            incoming.mkdir(FOLDER_MODE)

    def has(self, name: str, size: int) -> bool:
        """Return whether the object is there, with that many bytes."""
        with _translated_errors(self._root):
            try:
                return self._path(name).stat().st_size == size
            except FileNotFoundError:
                return False

    def is_good(self, name: str, size: int, digest: str) -> bool:
        """Return whether the object is there, with the bytes of a digest: reads it."""
        if not self.has(name, size):
            return False
        hasher = Hasher(algorithm_of(digest))
        try:
            for chunk in self.open(name, 0, size):
                hasher.update(chunk)
        except Corrupt:
            return False
        return hasher.digest == digest

    def put(self, name: str, chunks: Iterable[bytes], size: int) -> None:
        """Write an object, over one of that name where there is one. It is there after the next `flush`.

        Raises what `chunks` raises, and Corrupt where it has another number of bytes; then nothing is kept.
        """
        self._count += 1
        path = self._incoming / str(self._count)
        try:
            # Not around the block: what the chunks raise is the source's fault, and says so itself.
            with _opened(path) as file:
                for chunk in verified_size(chunks, size):
                    with _translated_errors(self._root):
                        write_all(file, chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._waiting.append((path, self._path(name)))
        self._bytes += size
        if len(self._waiting) >= MAX_OBJECTS or self._bytes >= MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Let all objects that were put have their names. Names are on the disk after the next `sync`."""
        if not self._waiting:
            return
        self.sync()
        with _translated_errors(self._root):
            for path, final in self._waiting:
                make_private(final.parent)
                path.replace(final)
        self._waiting.clear()
        self._bytes = 0

    def sync(self) -> None:
        """Wait until all that was written to this file system is on the disk."""
        with _translated_errors(self._root):
            _sync_file_system(self._incoming)

    def close(self) -> None:
        """Remove what has no name yet."""
        shutil.rmtree(self._incoming, ignore_errors=True)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Yield a descriptor of the new file `path`."""
    with _translated_errors(path):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync_file_system(folder: Path) -> None:
    """Flush the file system that `folder` is on (syncfs(2), which reports errors since Linux 5.8)."""
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        # Not Linux: flush everything.
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if library.syncfs(descriptor):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _translated_errors(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error_of(error, root) from error
