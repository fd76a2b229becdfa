"""A blob store in a folder.

    LAYOUT                        the version of this layout, one line
    <first two of the id>/<upload id>/<part>

A file appears under its own name at once and is nobody's until a record names it, so a crash leaves at worst a file
that no record names. A file, and each folder made for it, is flushed to the disk before its name is given out. Lost
bytes are put back by renaming a whole file over the name.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from lading_storage.errors import (
    NO_SPACE,
    Corrupt,
    ObjectNotFound,
    StorageError,
    StoreDamaged,
    StoreFull,
    StoreNotFound,
    Unavailable,
)
from lading_storage.local.durable_folders import FILE_MODE, FOLDER_MODE, flush_folder, make_store, private_opener
from lading_storage.local.object_listing import LAYOUT_FILE, SHARD, ObjectFolders
from lading_storage.protocols import StoredObject, verified_size

T = TypeVar("T")

LAYOUT: Final = 1
CHUNK_SIZE: Final = 256 * 1024
"""Bytes read at a time: large enough that system calls cost nothing, small enough for any number of readers."""


class FilesystemBlobs:
    """BlobStore in a folder; a folder keeps no checksums, so `Stored.crc32c` is None."""

    def __init__(self, root: Path, create: bool = True) -> None:
        """Use `root`, which is made where it does not exist, unless `create` is false.

        Raises StoreNotFound where nothing is to be made, and StorageError where a newer release laid the folder out
        or the file that says so is damaged.
        """
        self._root = root
        self._folders = ObjectFolders(root)
        self._flushed: set[Path] = set()
        with translated_errors(self._root):
            layout = root / LAYOUT_FILE
            if not create and not layout.exists():
                raise StoreNotFound(f"no blobs at {root}; use --data FOLDER or --blobs URL")
            make_store(root)
            if not layout.exists():
                # Whole or not at all: whoever is killed here must not leave a folder that nobody can open.
                new = root / f".LAYOUT-{secrets.token_hex(4)}"
                with open(new, "w", opener=private_opener) as file:
                    file.write(f"{LAYOUT}\n")
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(layout)
                flush_folder(root)
            if _version(layout) > LAYOUT:
                raise StorageError(f"{root} was laid out by a newer release of Lading")

    @property
    def root(self) -> Path:
        """The folder."""
        return self._root

    def append(self, name: str, chunks: Iterable[bytes], size: int | None = None) -> StoredObject:
        """See BlobStore.append."""
        path = self._path(name)
        with translated_errors(self._root), self._new_file(path) as file:
            written = 0
            for chunk in verified_size(chunks, size):
                written += write_all(file, chunk)
        return StoredObject(written, None)

    def join(self, name: str, parts: Sequence[str]) -> StoredObject:
        """See BlobStore.join."""
        path = self._path(name)
        with translated_errors(self._root), self._new_file(path) as file:
            written = sum(_copy(self._path(part), file) for part in parts)
        return StoredObject(written, None)

    def replace(self, name: str, by: str) -> None:
        """See BlobStore.replace."""
        path, source = self._path(name), self._path(by)
        with translated_errors(self._root):
            source.stat()
            self._in_folder(path, lambda: source.rename(path))
            flush_folder(path.parent)
            flush_folder(source.parent)
            _remove_empty(source.parent)

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """See BlobStore.open."""
        with translated_errors(self._root):
            file = self._path(name).open("rb", buffering=0)
        return _read_chunks(file, start, stop)

    def signed_url(self, name: str) -> str | None:
        """None: a folder has no address."""
        return None

    def delete(self, name: str) -> None:
        """See BlobStore.delete; the upload's folder goes with its last file."""
        path = self._path(name)
        with translated_errors(self._root), contextlib.suppress(FileNotFoundError):
            path.unlink()
            _remove_empty(path.parent)

    def names(self, prefix: str, *, after: str = "", limit: int) -> list[str]:
        """See BlobStore.names."""
        with translated_errors(self._root):
            return self._folders.names(prefix, after, limit)

    def strays(self, *, limit: int) -> list[str]:
        """See BlobStore.strays."""
        with translated_errors(self._root):
            return self._folders.strays(limit)

    def close(self) -> None:
        """Nothing is held open."""

    def _path(self, name: str) -> Path:
        return self._root / name[:SHARD] / name

    @contextlib.contextmanager
    def _new_file(self, path: Path) -> Iterator[int]:
        """A descriptor of the new file `path`; flushed to the disk at the end, removed where the block raises."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = self._in_folder(path, lambda: os.open(path, flags, FILE_MODE))
        try:
            yield file
            os.fsync(file)
            flush_folder(path.parent)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)

    def _in_folder(self, path: Path, make: Callable[[], T]) -> T:
        """Return what `make` does in the folder of `path`: again, where its last file was just deleted, and it too."""
        self._make_folder(path.parent)
        try:
            return make()
        except FileNotFoundError:
            self._make_folder(path.parent)
            return make()

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and its parent, and flush both names. Whoever made them before may have failed to.

        The parents are few and stay, so each is flushed once.
        """
        parent = folder.parent
        if parent not in self._flushed:
            parent.mkdir(FOLDER_MODE, exist_ok=True)
            flush_folder(parent.parent)
            self._flushed.add(parent)
        folder.mkdir(FOLDER_MODE, exist_ok=True)
        flush_folder(parent)


def _version(layout: Path) -> int:
    """Return the version that the file says. Raises Damaged."""
    text = layout.read_bytes()
    if not text.strip().isdigit():
        raise StoreDamaged(layout, "it says no version", f"write {LAYOUT} into it, the only version so far")
    return int(text)


def _remove_empty(folder: Path) -> None:
    """Remove the folder of an upload, unless something is left in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def write_all(file: int, chunk: bytes) -> int:
    """Write all of `chunk`, which the kernel may take in several goes; answers its length."""
    written = os.write(file, chunk)
    while written < len(chunk):
        written += os.write(file, memoryview(chunk)[written:])
    return written


def _copy(source: Path, target: int) -> int:
    """Add the bytes of `source` to `target`; answers how many they were."""
    file = source.open("rb", buffering=0)
    return sum(write_all(target, piece) for piece in _read_chunks(file, 0, os.fstat(file.fileno()).st_size))


def _read_chunks(file: FileIO, start: int, stop: int) -> Iterator[bytes]:
    """Read `file` from `start` to `stop`, and close it, at the end or when the iterator is closed."""
    with file, translated_errors(Path(str(file.name))):
        file.seek(start)
        while start < stop:
            piece = file.read(min(CHUNK_SIZE, stop - start))
            if not piece:
                raise Corrupt("a file is shorter than its record says")
            start += len(piece)
            yield piece


@contextlib.contextmanager
def translated_errors(root: Path) -> Iterator[None]:
    """Turn the system's errors about what is below `root` into the protocol's."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(str(error)) from error
    except OSError as error:
        raise storage_error_of(error, root) from error


def storage_error_of(error: OSError, root: Path) -> Unavailable:
    """Return what an error of the system is in the protocol's terms."""
    if error.errno in NO_SPACE:
        return StoreFull("blobs", root)
    return Unavailable(f"{error.filename or root}: {error.strerror or error}")
