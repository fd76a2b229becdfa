"""Copies of a whole SQLite database, made by SQLite's online backup API while other processes read and write it.

This module does not depend on the schema. It depends on `SqliteMetadata.path`, on the names of the files beside a
database (WriterQueue adds two), on WAL mode, in which a reader keeps its snapshot while a writer commits, and on source
and target having the same page size, as all of Lading's databases have. https://www.sqlite.org/backup.html
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
"""Pages copied between two progress reports: 16 MiB."""

CHECKPOINT_TIMEOUT: Final = 2_000
"""Milliseconds that a checkpoint of the write-ahead log waits for readers. The next backup repeats the attempt."""

Progress = Callable[[int, int], None]
"""Callback with the number of copied pages and the total number of pages."""


def copy_snapshot(source: Path, target: Path, progress: Progress) -> None:
    """Copy a snapshot of the database `source` into the new file `target`.

    The copy is not flushed to the disk: it is meant for this process only, and to be made again after a crash. Writers
    of `source` are not blocked.

    Raises:
        Unavailable: `source` cannot be read, or `target` cannot be written.
        StoreDamaged: `source` is damaged.
        StoreFull: there is no space for `target`.
    """
    with (
        translated_errors(source, written=target),
        _open_source(source) as source_connection,
        contextlib.closing(_new_unlogged(target)) as target_connection,
    ):
        # An open read transaction prevents that commits of other connections restart the copy.
        source_connection.execute("BEGIN")
        source_connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        source_connection.backup(target_connection, pages=PAGES_PER_STEP, progress=_backup_progress(progress))
        source_connection.execute("ROLLBACK")


def overwrite(source: Path, target: Path, progress: Progress) -> None:
    """Overwrite the database `target` with the content of `source`, in one transaction. Durable on return.

    Until the transaction is committed, readers of `target` see the old content, and a crash leaves it unchanged.

    Raises:
        Unavailable: `target` cannot be written.
        StoreDamaged: `target` is damaged.
        StoreFull: there is no space for `target`.
    """
    with (
        translated_errors(target),
        contextlib.closing(connect(source)) as source_connection,
        contextlib.closing(connect(target)) as target_connection,
    ):
        source_connection.backup(target_connection, pages=PAGES_PER_STEP, progress=_backup_progress(progress))
        target_connection.execute(f"PRAGMA busy_timeout = {CHECKPOINT_TIMEOUT}")
        # The log is now as large as the database. If a reader blocks this checkpoint, the next backup repeats it.
        target_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()


def check_integrity(path: Path) -> None:
    """Check the integrity of a whole database, including its indexes. Raises StoreDamaged and Unavailable."""
    step = "use another backup"
    try:
        with translated_errors(path), _open_source(path) as connection:
            (result,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except StoreDamaged as error:
        raise StoreDamaged(path, error.why, step) from error
    if result != "ok":
        raise StoreDamaged(path, f"SQLite: {result.splitlines()[-1]}", step)


def remove_database(path: Path) -> None:
    """Remove a database and the files that SQLite and WriterQueue keep beside it."""
    for suffix in ("", "-wal", "-shm", "-journal", "-queue", "-turn"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _open_source(source: Path) -> contextlib.AbstractContextManager[sqlite3.Connection]:
    return contextlib.closing(connect(source)) if is_writable(source) else read_unchanged(source)


def _new_unlogged(path: Path) -> sqlite3.Connection:
    create_private(path)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    return connection


def _backup_progress(progress: Progress) -> Callable[[int, int, int], None]:
    return lambda status, remaining, total: progress(total - remaining, total)
