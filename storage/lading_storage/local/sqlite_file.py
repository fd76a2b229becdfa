"""The file of the metadata store in SQLite, and the log beside it (WAL mode): connections, transactions, their bounds.

`PRAGMA user_version` is the schema version; sqlite_migration brings an older file forward when it is opened.
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
"""Seconds that a write waits for another process's."""

CHUNK_SIZE: Final = 1024 * 1024
"""Bytes of the log at a time."""

WAL_SIZE_LIMIT: Final = 4 * 1024 * 1024
MAX_WAL_SIZE: Final = 16 * 1024 * 1024
"""Bytes of the log's file: what it is cut to when it begins anew, and from when on a commit insists on that."""

FRAME_HEADER_SIZE: Final = 24
WAL_HEADER_SIZE: Final = 32
FRAME_SALT: Final = slice(8, 16)
WAL_SALT: Final = slice(16, 24)
"""Bytes of a frame's header and of the log's; where each has the salt (SQLite, "WAL-mode File Format", section 2)."""


def is_database(path: Path) -> bool:
    """Return whether there is a database at `path`. A process killed while it made one may have left an empty file.

    Raises Unavailable where the folder cannot be read.
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
    """Return whether a database that is there can be written, with a log beside it; true where there is none."""
    return not path.exists() or (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))


def create_private(path: Path) -> None:
    """Make an empty file for the own user alone, unless there is one: SQLite gives the log beside it the same mode."""
    # Never opened where it is there: closing it would release the locks of this process's other connections to it.
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))


def connect(path: Path) -> sqlite3.Connection:
    """One more connection, for one thread at a time. Transactions are begun and ended in so many words."""
    new = not is_database(path)
    if new:
        create_private(path)
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    if new:
        # Free pages can be given back some at a time. Only a new file takes it, and any other one is written to.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit is on the disk before it is acknowledged, whatever happens to the machine.
    connection.execute("PRAGMA synchronous = FULL")
    # KiB. The system keeps the file's pages in memory for all; with 2 MB each, 64 readers had 144 MiB of them.
    connection.execute("PRAGMA cache_size = -512")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_SIZE_LIMIT}")
    # Zeros over what is deleted only where the page is written anyway; some builds of SQLite write each freed page.
    connection.execute("PRAGMA secure_delete = FAST")
    return connection


def connect_read_only(path: Path) -> sqlite3.Connection:
    """Open a database that is there without writing anything: neither to it, nor files beside it where it has no log.

    Without a log it is taken as it stands (`immutable`): the caller reads something that a writer beside does not
    change. Raises sqlite3.Error.
    """
    mode = "ro" if has_wal(path) else "ro&immutable=1"
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def has_wal(path: Path) -> bool:
    """Return whether there is a log with anything in it beside the database."""
    return is_database(Path(f"{path}-wal"))


def version_of(connection: sqlite3.Connection) -> int:
    """Return the schema version of the file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, version: int | None = None) -> Iterator[None]:
    """Alone among all writers until the end of the block: what it wrote is on the disk then, or undone.

    Raises Unavailable where `version` is given and the file has another schema version: another release has brought it
    forward since this process opened it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if version is not None and (found := version_of(connection)) != version:
            raise Unavailable(f"the metadata has schema version {found}, of another release; this one has {version}")
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Where COMMIT itself failed, as on a full disk, SQLite may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def rewrite_wal(connection: sqlite3.Connection, path: Path) -> None:
    """Write the log over itself and flush it: what a crash left there may be in the system's memory alone.

    A commit whose flush failed is undone, but stands in the log until the next commit writes over it; when all
    processes are gone before, SQLite takes it for good. Linux takes its pages for clean, too, and never writes them:
    the next flush would say yes to commits behind it, and a power failure take them all (Rebello et al., "Can
    Applications Recover from fsync Failures?", USENIX ATC 2020).
    """
    page_size: int = connection.execute("PRAGMA page_size").fetchone()[0]
    size = CHUNK_SIZE // (FRAME_HEADER_SIZE + page_size) * (FRAME_HEADER_SIZE + page_size)
    with transaction(connection):
        log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
        try:
            header = os.pread(log, WAL_HEADER_SIZE, 0)
            start = os.pwrite(log, header, 0)
            # Frames of another salt are of an earlier log, which is in the file already: they are never read again.
            while (piece := os.pread(log, size, start)) and piece[FRAME_SALT] == header[WAL_SALT]:
                start += os.pwrite(log, piece, start)
            os.fsync(log)
        finally:
            os.close(log)


def bound_wal(connection: sqlite3.Connection, path: Path, limit: int | None = None) -> bool:
    """Bring the log into the file and cut it, where it has more than `limit` bytes, or MAX_LOG.

    Returns whether it is small now.

    SQLite begins the log anew only at a moment at which nobody reads from it, so it can grow for as long as readers
    overlap. This keeps writers out and waits for each to end, but not for one that takes long, such as a backup.
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
        return False  # what is committed stays in the log, and a later commit tries again
    finally:
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
    return not busy
