"""SQLite's errors, and the system's about its files, as the protocol's: with the file that each is about."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from storage.errors import NO_SPACE, Damaged, Full, Unavailable

FULL: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""The file, or the index of the log beside it, cannot grow."""

DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

PRIMARY: Final = 0xFF
"""The bits of an extended error code that are the primary one."""


@contextlib.contextmanager
def faults(path: Path, filled: Path | None = None) -> Iterator[None]:
    """Turn errors of the block into Full, Damaged or Unavailable.

    Args:
        path: the database.
        filled: what is written, where that is another one.
    """
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise fault(error, path, filled) from error


def fault(error: Exception, path: Path, filled: Path | None = None) -> Unavailable:
    """Return what an error of SQLite, or of the system, about a database is in the protocol's terms."""
    if isinstance(error, OSError):
        if error.errno in NO_SPACE:
            return Full("metadata", filled or path)
        return Unavailable(f"SQLite: {error.filename or path}: {error.strerror or error}")
    code = getattr(error, "sqlite_errorcode", 0)
    if code in FULL:
        return Full("metadata", filled or path)
    if code & PRIMARY in DAMAGED:
        return Damaged(path, f"SQLite: {error}")
    return Unavailable(f"SQLite: {path}: {error}")
