"""Metadata store in an SQLite file that this process may not write: another user's, or on a read-only file system.

Each read opens the file anew. Without a write-ahead log, nothing signals that a process on another machine, or of
another user, writes the file meanwhile. So each read compares the state of the file before and after, and fails if it
has changed.
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
    """MetadataStore in an existing read-only file: `commit` and `compact` raise Unavailable."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            StoreNotFound: the file does not exist or is empty.
            ForeignStore: the file belongs to another program.
            StorageError: another release wrote the file.
        """
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
                " use the release that wrote it, or copy the folder to a writable place"
            )

    def commit(self, writes: Sequence[Write]) -> None:
        """Raise Unavailable."""
        self._refuse()

    def compact(self, limit: int) -> int:
        """Raise Unavailable."""
        self._refuse()

    def close(self) -> None:
        """Do nothing: no connection is kept open."""

    def _refuse(self) -> NoReturn:
        raise Unavailable(f"{self._path} cannot be written")

    @contextlib.contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection]:
        with translated_errors(self._path), read_unchanged(self._path) as connection:
            yield connection


@contextlib.contextmanager
def read_unchanged(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a read-only file. Raises Unavailable if the file changes during the block, and sqlite3.Error."""
    before, log = _file_state(path), has_wal(path)
    try:
        with contextlib.closing(connect_read_only(path)) as connection:
            yield connection
    except sqlite3.OperationalError as error:
        if log and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CANTOPEN:
            raise Unavailable(
                f"{path}-wal must be merged into {path} first, and the folder cannot be written: copy the folder to a"
                " writable place, and use the copy"
            ) from error
        raise
    finally:
        if not log and _file_state(path) != before:
            raise Unavailable(f"{path} was changed during the read; try again")


def open_sqlite(path: Path, create: bool, upgrade: bool = True) -> SqliteMetadata:
    """Open the metadata store at `path`; as read-only if it cannot be written and `create` is false.

    Args:
        path: of the file.
        create: whether a missing file is created.
        upgrade: whether a file of an earlier release is upgraded, which ends the service of that release.

    Raises the errors of SqliteMetadata; Unavailable if `create` is true and the file cannot be written; and
    StorageError if the file is of an earlier release, and `upgrade` is false.
    """
    if is_writable(path):
        if not upgrade:
            _refuse_upgrade(path)
        return SqliteMetadata(path, create=create)
    if create:
        raise Unavailable(f"{path} and its folder cannot be written: use --data FOLDER, or change their owner")
    return ReadOnlySqlite(path)


def _refuse_upgrade(path: Path) -> None:
    with translated_errors(path):
        if not is_database(path) or not is_metadata_store(path):
            return
        with contextlib.closing(connect_read_only(path)) as connection:
            version = version_of(connection)
    if version < VERSION:
        raise StorageError(
            f"{path} is of an earlier release (its schema version is {version}, this release has {VERSION}), and a"
            " command that only reads does not upgrade it: end the processes of that release, then start `lading serve`"
        )


def _file_state(path: Path) -> tuple[object, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, has_wal(path)
