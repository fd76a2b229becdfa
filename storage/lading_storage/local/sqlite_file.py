"""The SQLite file of the metadata store, and its write-ahead log: connections, transactions and size limits.

`PRAGMA user_version` is the schema version. sqlite_migration upgrades an older file when it is opened.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading_storage.errors import Unavailable
from lading_storage.local.durable_folders import FILE_MODE

BUSY_TIMEOUT: Final = 30.0
"""Seconds that a write waits for a lock of another process."""

CHUNK_SIZE: Final = 1024 * 1024
"""Bytes of the log rewritten at a time."""

WAL_SIZE_LIMIT: Final = 4 * 1024 * 1024
MAX_WAL_SIZE: Final = 16 * 1024 * 1024
"""Bytes of the log file: the size to which SQLite truncates it at a restart, and the size above which a commit forces a
checkpoint."""

FRAME_HEADER_SIZE: Final = 24
WAL_HEADER_SIZE: Final = 32
FRAME_SALT: Final = slice(8, 16)
WAL_SALT: Final = slice(16, 24)
"""Sizes of the frame header and the log header, and position of the salt in each (SQLite, "WAL-mode File Format",
section 2)."""


def is_database(path: Path) -> bool:
    """Return whether `path` is a database. An empty file is none: a process may have been killed while creating one.

    Raises Unavailable if the folder cannot be read.
    """
    try:
        if path.is_dir():
            raise Unavailable(f"{path} is a folder, and metadata is one file: use --metadata sqlite:///FOLDER/FILE")
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error


def is_writable(path: Path) -> bool:
    """Return whether the database and a log beside it can be written. True if the database does not exist."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def create_private(path: Path) -> None:
    """Create an empty private file unless it exists. SQLite creates the log beside it with the same mode."""
    # Never open an existing file: closing it would release the locks of this process's other connections to it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection, for one thread at a time. Transactions are explicit (BEGIN and COMMIT)."""
    new = not is_database(path)
    if new:
        create_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    if new:
        # Free pages can be released incrementally. Takes effect on a new file only, and would write to an existing one.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit is durable before it is acknowledged, even if the machine loses power.
    connection.execute("PRAGMA synchronous = FULL")
    # KiB. The kernel caches the file's pages for all connections; with 2 MB each, 64 readers used 144 MiB.
    connection.execute("PRAGMA cache_size = -512")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT}")
    # Zero deleted content only in pages that are written anyway; some builds of SQLite write each freed page.
    connection.execute("PRAGMA secure_delete = FAST")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open an existing database without writing to it. If it has no log, no files are created beside it either.

    Without a log the database is opened as `immutable`: the caller must cope with a concurrent writer. Raises
    sqlite3.Error.
    """
    mode = "ro" if has_wal(path) else "ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def has_wal(path: Path) -> bool:
    """Return whether the database has a non-empty write-ahead log."""
    return is_database(Path(f"{path}-wal"))


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of the file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, version: int | None = None) -> Iterator[None]:
    """Run the block in an exclusive write transaction, which is durable at the end, or rolled back if the block raises.

    Args:
        connection: the connection.
        version: the schema version that the file must have, or None for any.

    Raises:
        Unavailable: the file has another schema version, because a process of another release has migrated it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version is not None and (actual := version_of(connection)) != version:
            raise Unavailable(
                f"another release has changed the metadata to schema version {actual}, and this one uses {version};"
                " restart this process with that release"
            )
        yield
        connection.execute("COMMIT")
    except BaseException:
        # If COMMIT itself failed, for example on a full disk, SQLite may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def rewrite_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Rewrite the write-ahead log in place and flush it, since after a crash it may exist in the page cache only.

    A commit whose flush failed is rolled back, but its frames remain in the log until the next commit overwrites them;
    if all processes end before that, SQLite recovers them as committed. Linux also marks the pages as clean after the
    failed flush, and never writes them: the next flush would report success for later commits, and a power failure
    would lose them all (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).
    """
    page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    size = CHUNK_SIZE // (FRAME_HEADER_SIZE + page_size) * (FRAME_HEADER_SIZE + page_size)
    with transaction(connection):
        log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            header = os.pread(log, WAL_HEADER_SIZE, 0)
            start = os.pwrite(log, header, 0)
            # Frames with another salt are of an earlier log, already in the database: they are never read again.
            while (chunk := os.pread(log, size, start)) and chunk[FRAME_SALT] == header[WAL_SALT]:
                start += os.pwrite(log, chunk, start)
            os.fsync(log)
        finally:
            os.close(log)


def bound_wal(connection: sqlite3.Connection, path: Path, limit: int | None = None) -> bool:
    """Checkpoint and truncate the write-ahead log if it is too long. Return whether it is short now.

    SQLite restarts the log only when no reader uses it, so it can grow as long as readers overlap. This checkpoint
    blocks writers and waits for the readers, but not for a long one, such as a backup.

    Args:
        connection: the connection.
        path: the database.
        limit: the maximum bytes of the log, or None for MAX_WAL_SIZE.
    """
    try:
        if Path(f"{path}-wal").stat().st_size <= (MAX_WAL_SIZE if limit is None else limit):
            return True
    except FileNotFoundError:
        return True
    connection.execute("PRAGMA busy_timeout = 200")
    try:
        (busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        return False  # commits stay in the log, and a later commit tries again
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
    return not busy
