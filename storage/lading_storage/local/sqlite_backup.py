"""Copies of a SQLite database as a whole, by SQLite's online backup API, while others read and write it.

Depends on nothing of the schema. Of the rest of the driver: `SqliteMetadata.path`; the names of the files beside a
database (WriterQueue has two); that the file is in WAL mode, where
a reader keeps its snapshot beside a writer; and that both files have the same page size, as all of ours have.
https://www.sqlite.org/backup.html
"""

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lading_storage.errors import StoreDamaged
from lading_storage.local.sqlite_errors import translated_errors
from lading_storage.local.sqlite_file import connect, create_private, is_writable
from lading_storage.local.sqlite_read_only import read_unchanged

PAGES_PER_STEP: Final = 4096
"""Pages copied between two reports of progress: 16 MiB."""

CHECKPOINT_TIMEOUT: Final = 2_000
"""Milliseconds that emptying the log waits for readers; what is left is emptied the next time."""

Progress = Callable[[int, int], None]
"""Called with the pages that are done, and those there are."""


def copy_snapshot(source: Path, target: Path, progress: Progress) -> None:
    """Copy the database `source`, as of one moment, into the new file `target`.

    The copy is not flushed to the disk: it is to be used by this process, and made again after a crash. Writers of
    `source` are not blocked. Raises Unavailable, Damaged about `source`, and Full about `target`.
    """
    with (
        translated_errors(source, written=target),
        _opened(source) as origin,
        contextlib.closing(_scratch(target)) as writing,
    ):
        # A snapshot that is held keeps commits of others from starting the copy anew.
        origin.execute("BEGIN")
        origin.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        origin.backup(writing, pages=PAGES_PER_STEP, progress=_backup_progress(progress))
        origin.execute("ROLLBACK")


def overwrite(source: Path, target: Path, progress: Progress) -> None:
    """Let the database `target` hold what `source` holds, in one transaction, which is on the disk on return.

    Whoever reads `target` sees what was there before until then, and a crash leaves that.
    Raises Unavailable, Damaged and Full about `target`.
    """
    with (
        translated_errors(target),
        contextlib.closing(connect(source)) as origin,
        contextlib.closing(connect(target)) as writing,
    ):
        origin.backup(writing, pages=PAGES_PER_STEP, progress=_backup_progress(progress))
        writing.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT}")
        # The log is as large as the database now. A reader may hold it; then the next backup empties it.
        writing.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def check_integrity(path: Path) -> None:
    """Look through a whole database, indexes included. Raises Damaged, Unavailable."""
    step = "use another backup"
    try:
        with translated_errors(path), _opened(path) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except StoreDamaged as error:
        raise StoreDamaged(path, error.why, step) from error
    if found != "ok":
        raise StoreDamaged(path, f"SQLite: {found.splitlines()[-1]}", step)


def remove_database(path: Path) -> None:
    """Remove a database, and what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal", "-queue", "-turn"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _opened(source: Path) -> contextlib.AbstractContextManager[sqlite3.Connection]:
    return contextlib.closing(connect(source)) if is_writable(source) else read_unchanged(source)


def _scratch(path: Path) -> sqlite3.Connection:
    create_private(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _backup_progress(progress: Progress) -> Callable[[int, int, int], None]:
    return lambda status, remaining, total: progress(total - remaining, total)
