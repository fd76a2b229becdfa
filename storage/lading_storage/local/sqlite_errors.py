"""Translation of SQLite's and the operating system's errors about a database into the protocol's errors."""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading_storage.errors import NO_SPACE, StoreDamaged, StoreFull, Unavailable

FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""Error codes of a database file, or the shared-memory index of its write-ahead log, that cannot grow."""

NO_PERMISSION: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
"""Error numbers of a file or folder that this process may not access."""

DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked; stop that process, or try again",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked; stop that process, or try again",
    sqlite3.SQLITE_READONLY: "it or its folder cannot be written; change their owner, or use --data FOLDER",
    sqlite3.SQLITE_PERM: "it or its folder cannot be used; change their owner, or use --data FOLDER",
    sqlite3.SQLITE_CANTOPEN: "it or its folder cannot be used; change their owner, or use --data FOLDER",
    sqlite3.SQLITE_IOERR: "the disk failed; see the system log; restore a backup onto another disk by `lading restore`",
    sqlite3.SQLITE_NOLFS: "it is larger than its file system supports; move the folder to another file system",
}
"""Next step for the operator, by primary error code."""

PRIMARY_CODE_MASK: Final = 0xFF
"""Mask of the primary error code in an extended error code."""


@contextlib.contextmanager
def translated_errors(path: Path, written: Path | None = None) -> Iterator[None]:
    """Translate errors of the block into StoreFull, StoreDamaged or Unavailable.

    Args:
        path: the database.
        written: the database that is written, if it is a different one.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise storage_error_of(error, path, written) from error


def storage_error_of(error: Exception, path: Path, written: Path | None = None) -> Unavailable:
    """Return the protocol's error for an error of SQLite or the operating system. See translated_errors."""
    if isinstance(error, OSError):
        if error.errno in NO_SPACE:
            return StoreFull("metadata", written or path)
        step = "change its owner, or use --data FOLDER" if error.errno in NO_PERMISSION else "see the system log"
        return Unavailable(f"SQLite: {error.filename or path}: {error.strerror or error}; {step}")
    code = getattr(error, "sqlite_errorcode", 0)
    if code in FULL:
        return StoreFull("metadata", written or path)
    if code & PRIMARY_CODE_MASK in DAMAGED:
        return StoreDamaged(path, f"SQLite: {error}")
    step = REMEDIES.get(
        code & PRIMARY_CODE_MASK, "try again; if the error persists, report it as a bug of Lading, with this line"
    )
    return Unavailable(f"SQLite: {path}: {error}; {step}")
