"""SQLite's errors, and the system's about its files, as the protocol's: with the file that each is about."""

import contextlib
import errno
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading_storage.errors import NO_SPACE, StoreDamaged, StoreFull, Unavailable

FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""The file, or the index of the log beside it, cannot grow."""

NO_PERMISSION: Final = (errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system says of a file or folder that this process may not use."""

DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "another process keeps it locked; stop that one, or try again",
    sqlite3.SQLITE_LOCKED: "another process keeps it locked; stop that one, or try again",
    sqlite3.SQLITE_READONLY: "it or its folder cannot be written; change who owns them, or use --data FOLDER",
    sqlite3.SQLITE_PERM: "it or its folder cannot be used; change who owns them, or use --data FOLDER",
    sqlite3.SQLITE_CANTOPEN: "it or its folder cannot be used; change who owns them, or use --data FOLDER",
    sqlite3.SQLITE_IOERR: "the disk failed; see the system's log, and `lading restore` puts a backup on another one",
    sqlite3.SQLITE_NOLFS: "it is larger than its file system takes; move the folder to another one",
}
"""What is to be done about an error, by its primary code."""

PRIMARY_CODE_MASK: Final = 0xFF
"""The bits of an extended error code that are the primary one."""


@contextlib.contextmanager
def translated_errors(path: Path, written: Path | None = None) -> Iterator[None]:
    """Turn errors of the block into Full, Damaged or Unavailable.

    Args:
        path: the database.
        written: what is written, where that is another one.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise storage_error_of(error, path, written) from error


def storage_error_of(error: Exception, path: Path, written: Path | None = None) -> Unavailable:
    """Return what an error of SQLite, or of the system, about a database is in the protocol's terms."""
    if isinstance(error, OSError):
        if error.errno in NO_SPACE:
            return StoreFull("metadata", written or path)
        step = "change who owns it, or use --data FOLDER" if error.errno in NO_PERMISSION else "see the system's log"
        return Unavailable(f"SQLite: {error.filename or path}: {error.strerror or error}; {step}")
    code = getattr(error, "sqlite_errorcode", 0)
    if code in FULL:
        return StoreFull("metadata", written or path)
    if code & PRIMARY_CODE_MASK in DAMAGED:
        return StoreDamaged(path, f"SQLite: {error}")
    step = REMEDIES.get(
        code & PRIMARY_CODE_MASK, "try again; if it stays, this is a defect of Lading: report it with this line"
    )
    return Unavailable(f"SQLite: {path}: {error}; {step}")
