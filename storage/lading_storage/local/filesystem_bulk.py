"""Bulk writes into a folder of blobs, with one flush for many objects.

FilesystemBlobs flushes each object, its folder and the parent folder before it returns: three flushes, about 3 ms. For
a copy of 200,000 small objects, the flushes alone would take ten minutes. Here objects are written into a staging
folder, flushed together (syncfs), and only then renamed to their names. So an object that has its name also has its
bytes, even after a crash.

Depends on `FilesystemBlobs._path`, which maps a name to a file.
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
"""Maximum objects, and maximum bytes, that are written before they are flushed and renamed."""


class BulkBlobs(FilesystemBlobs):
    """Folder of blobs that a single process fills. Not thread-safe."""

    def __init__(self, root: Path, incoming: Path) -> None:
        """Open the store in `root`.

        Args:
            root: the folder.
            incoming: the staging folder, on the same file system as `root`. Its content is deleted.
        """
        super().__init__(root)
        self._incoming = incoming
        self._pending: list[tuple[Path, Path]] = []
        self._bytes = 0
        self._count = 0
        with _translated_errors(self._root):
            shutil.rmtree(incoming, ignore_errors=True)
            incoming.mkdir(FOLDER_MODE)

    def has(self, name: str, size: int) -> bool:
        """Return whether the object exists and has `size` bytes."""
        with _translated_errors(self._root):
            try:
                return self._path(name).stat().st_size == size
            except FileNotFoundError:
                return False

    def is_good(self, name: str, size: int, digest: str) -> bool:
        """Return whether the object exists and its bytes match `digest`. Reads the whole object."""
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
        """Write an object, overwriting one of the same name. It becomes visible at the next `flush`.

        Args:
            name: the object's name.
            chunks: the content. An exception raised by the iterator is passed on, and nothing is stored.
            size: the expected number of bytes.

        Raises:
            Corrupt: `chunks` has a different number of bytes; nothing is stored.
        """
        self._count += 1
        path = self._incoming / str(self._count)
        try:
            # Only around the write: errors raised by `chunks` are the source's, and are not translated here.
            with _new_file(path) as file:
                for chunk in verified_size(chunks, size):
                    with _translated_errors(self._root):
                        write_all(file, chunk)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        self._pending.append((path, self._path(name)))
        self._bytes += size
        if len(self._pending) >= MAX_OBJECTS or self._bytes >= MAX_BYTES:
            self.flush()

    def flush(self) -> None:
        """Rename all pending objects to their names. The renames are durable after the next `sync`."""
        if not self._pending:
            return
        self.sync()
        with _translated_errors(self._root):
            for path, final in self._pending:
                make_private(final.parent)
                path.replace(final)
        self._pending.clear()
        self._bytes = 0

    def sync(self) -> None:
        """Flush everything written to this file system to the disk."""
        with _translated_errors(self._root):
            _sync_file_system(self._incoming)

    def close(self) -> None:
        """Remove the staging folder, with all objects that were not flushed."""
        shutil.rmtree(self._incoming, ignore_errors=True)


@contextlib.contextmanager
def _new_file(path: Path) -> Iterator[int]:
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
        # Not Linux: flush all file systems.
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
