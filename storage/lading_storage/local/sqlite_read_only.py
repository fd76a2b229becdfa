"""A metadata store in a SQLite file that this process may not write: another user's, or on a read-only file system.

Each read opens the file anew. Where there is no log, nothing says that another process, on another machine or under
another user, writes the file meanwhile: so the file's stamp is compared before and after, and a read beside a write
fails.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from lading_storage.errors import StorageError, StoreNotFound, Unavailable
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_errors import translated_errors
from lading_storage.local.sqlite_file import connect_read_only, has_wal, is_database, is_writable, version_of
from lading_storage.local.sqlite_owner import is_metadata_store
from lading_storage.local.sqlite_schema import VERSION
from lading_storage.protocols import Write


class ReadOnlySqlite(SqliteMetadata):
    """MetadataStore in a file that is there and that can only be read: `commit` and `compact` raise Unavailable."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`. Raises StoreNotFound, ForeignStore, and StorageError for another release's."""
        self._path = path
        self._cache = {}
        with translated_errors(path):
            if not is_database(path):
                raise StoreNotFound(f"no metadata at {path}")
            with self._reader() as connection:
                version = version_of(connection)
            if not is_metadata_store(path):
                raise StoreNotFound(f"no metadata at {path}")
        if version != VERSION:
            raise StorageError(
                f"{path} has schema version {version}, this release reads {VERSION}, and the file cannot be written:"
                " use the release that wrote it, or copy the folder to where it can be written"
            )

    def commit(self, writes: Sequence[Write]) -> None:
        """Refuse. Raises Unavailable."""
        self._refuse()

    def compact(self, limit: int) -> int:
        """Refuse. Raises Unavailable."""
        self._refuse()

    def close(self) -> None:
        """Nothing is held open."""

    def _refuse(self) -> NoReturn:
        raise Unavailable(f"{self._path} cannot be written")

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with translated_errors(self._path), read_unchanged(self._path) as connection:
            yield connection


@contextlib.contextmanager
def read_unchanged(path: Path) -> Iterator[sqlite3.Connection]:
    """Read a file that cannot be written. Raises Unavailable where it changes meanwhile, and sqlite3.Error."""
    before, log = _stamp(path), has_wal(path)
    try:
        with contextlib.closing(connect_read_only(path)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if log and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CANTOPEN:
            raise Unavailable(
                f"{path}-wal is to be brought into {path} first, and the folder cannot be written: copy the folder to"
                " where it can be, and use the copy"
            ) from error
        raise
    finally:
        if not log and _stamp(path) != before:
            raise Unavailable(f"{path} was written while it was read; try again")


def open_sqlite(path: Path, create: bool) -> SqliteMetadata:
    """Open the metadata store at `path`: to be read alone, where `create` is false and it cannot be written.

    Raises as SqliteMetadata does, and Unavailable where one that is to be written cannot be.
    """
    if is_writable(path):
        return SqliteMetadata(path, create=create)
    if create:
        raise Unavailable(f"{path} and its folder cannot be written: use --data FOLDER, or change who owns them")
    return ReadOnlySqlite(path)


def _stamp(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, has_wal(path)
