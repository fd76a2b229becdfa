"""Blob store in a folder.

    LAYOUT                                               one line: the version of this layout
    <first two characters of the id>/<upload id>/<part>

A file is created under its final name, and is not in use until a record references it, so a crash leaves at worst a
file that no record references. A file and each folder created for it are flushed to the disk before its name is
returned. Damaged bytes are replaced by renaming a complete file onto the name.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from io import FileIO
from pathlib import Path
from typing import Final, TypeVar

from lading_storage.chunks import primed
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
from lading_storage.stored_version import StoredVersion

T = TypeVar("T")

LAYOUT: Final = 1
CHUNK_SIZE: Final = 256 * 1024
"""Bytes read at a time: large enough to make system calls cheap, small enough for many concurrent readers."""


class FilesystemBlobs:
    """BlobStore in a folder. It stores no checksums, so `StoredObject.crc32c` is None."""

    def __init__(self, root: Path, create: bool = True) -> None:
        """Open the store in `root`.

        Args:
            root: the folder.
            create: whether to create the store if it does not exist.

        Raises:
            StoreNotFound: the store does not exist, and `create` is false.
            StoreDamaged: the LAYOUT file is damaged.
            StorageError: a newer release created the store.
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
                # Atomic: a process killed here must not leave a folder that cannot be opened.
                new = root / f".LAYOUT-{secrets.token_hex(4)}"
                with open(new, "w", opener=private_opener) as file:
                    file.write(f"{LAYOUT}\n")
                    file.flush()
                    os.fsync(file.fileno())
                new.replace(layout)
                flush_folder(root)
            if _version(layout) > LAYOUT:
                raise StorageError(f"{root} was created by a newer release of Lading; use that release or a later one")

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
            self._with_folder(path, lambda: source.rename(path))
            flush_folder(path.parent)
            flush_folder(source.parent)
            _remove_empty(source.parent)

    def open(self, name: str, start: int, stop: int) -> Iterator[bytes]:
        """See BlobStore.open."""
        with translated_errors(self._root):
            file = self._path(name).open("rb", buffering=0)
        return primed(_read_chunks(file, start, stop))

    def signed_url(self, name: str) -> str | None:
        """Return None: files in a folder have no URLs."""
        return None

    def delete(self, name: str) -> None:
        """See BlobStore.delete. The upload's folder is removed with its last file."""
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
        """Do nothing: no file is kept open."""

    def _path(self, name: str) -> Path:
        return self._root / name[:SHARD] / name

    @contextlib.contextmanager
    def _new_file(self, path: Path) -> Iterator[int]:
        """Yield a descriptor of the new file `path`. On exit, flush it to the disk; if the block raises, remove it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = self._with_folder(path, lambda: os.open(path, flags, FILE_MODE))
        try:
            yield file
            os.fsync(file)
            flush_folder(path.parent)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(file)

    def _with_folder(self, path: Path, make: Callable[[], T]) -> T:
        """Return the result of `make`, which creates `path`. Retry once if a concurrent delete removed the folder."""
        self._make_folder(path.parent)
        try:
            return make()
        except FileNotFoundError:
            self._make_folder(path.parent)
            return make()

    def _make_folder(self, folder: Path) -> None:
        """Create `folder` and its parent, and flush both names, even if they exist: their creator may have crashed.

        The parents are few and never removed, so each is flushed once per process.
        """
        parent = folder.parent
        if parent not in self._flushed:
            parent.mkdir(FOLDER_MODE, exist_ok=True)
            flush_folder(parent.parent)
            self._flushed.add(parent)
        folder.mkdir(FOLDER_MODE, exist_ok=True)
        flush_folder(parent)


def stored_version(root: Path) -> StoredVersion:
    """Read the layout's version of the store in `root`, and change nothing.

    Raises:
        StoreNotFound: there is no store.
        StorageError: it cannot be read.
    """
    layout = root / LAYOUT_FILE
    with translated_errors(root):
        if not layout.exists():
            raise StoreNotFound(f"no blobs at {root}")
        return StoredVersion(_version(layout), LAYOUT)


def _version(layout: Path) -> int:
    """Return the version in the LAYOUT file. Raises StoreDamaged."""
    text = layout.read_bytes()
    if not text.strip().isdigit():
        raise StoreDamaged(layout, "it contains no version", f"write {LAYOUT} into it, the only version so far")
    return int(text)


def _remove_empty(folder: Path) -> None:
    """Remove the folder of an upload if it is empty."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def write_all(file: int, chunk: bytes) -> int:
    """Write all of `chunk`, in several system calls if necessary. Return its length."""
    written = os.write(file, chunk)
    while written < len(chunk):
        written += os.write(file, memoryview(chunk)[written:])
    return written


def _copy(source: Path, target: int) -> int:
    """Append the bytes of `source` to the file descriptor `target`. Return their number."""
    file = source.open("rb", buffering=0)
    return sum(write_all(target, chunk) for chunk in _read_chunks(file, 0, os.fstat(file.fileno()).st_size))


def _read_chunks(file: FileIO, start: int, stop: int) -> Generator[bytes]:
    """Yield b"", to be primed, and the bytes of `file` from `start` to `stop`. Close it at the end, or when closed."""
    with file, translated_errors(Path(str(file.name))):
        yield b""
        file.seek(start)
        while start < stop:
            chunk = file.read(min(CHUNK_SIZE, stop - start))
            if not chunk:
                raise Corrupt("a file is shorter than its record states")
            start += len(chunk)
            yield chunk


@contextlib.contextmanager
def translated_errors(root: Path) -> Iterator[None]:
    """Translate the operating system's errors about files below `root` into those of the protocol."""
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectNotFound(str(error)) from error
    except OSError as error:
        raise storage_error_of(error, root) from error


def storage_error_of(error: OSError, root: Path) -> Unavailable:
    """Return the protocol's error for an error of the operating system."""
    if error.errno in NO_SPACE:
        return StoreFull("blobs", root)
    return Unavailable(f"{error.filename or root}: {error.strerror or error}")
