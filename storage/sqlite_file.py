"""The file of the metadata store in SQLite, and the log beside it.

    records   one row a record: where it is, its version, its fields as JSON, and its content
    mentions  one row for each value that MetadataStore.find may ask for

`PRAGMA user_version` is the schema version; opening an older file brings it forward, one migration after the other.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from storage.errors import StorageError

MIGRATIONS: Final = (
    """
    CREATE TABLE records (
        kind TEXT NOT NULL, repository TEXT NOT NULL, id TEXT NOT NULL,
        version TEXT NOT NULL,
        position TEXT NOT NULL,  -- kind.order(id): a listing is sorted by it
        fields TEXT NOT NULL,    -- JSON
        content BLOB,
        PRIMARY KEY (kind, repository, id)
    );
    CREATE INDEX listing ON records (kind, repository, position);
    CREATE TABLE mentions (
        kind TEXT NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL,
        id TEXT NOT NULL, repository TEXT NOT NULL,
        PRIMARY KEY (kind, field, value, id, repository)
    ) WITHOUT ROWID;
    CREATE INDEX mentioned_by ON mentions (kind, repository, id);
    """,
    # Links say whether a manifest may name them: of the older ones nobody knows. Blobs are found by their objects.
    """
    UPDATE records SET fields = json_set(fields, '$.state', 'loose', '$.since', json_extract(fields, '$.created'))
        WHERE kind = 'links';
    INSERT INTO mentions (kind, field, value, id, repository)
        SELECT kind, 'state', 'loose', id, repository FROM records WHERE kind = 'links';
    INSERT INTO mentions (kind, field, value, id, repository)
        SELECT kind, 'object', json_extract(fields, '$.object'), id, repository FROM records WHERE kind = 'blobs';
    """,
    # Queues of background jobs: the entry that Record.due derives.
    """
    ALTER TABLE records ADD COLUMN due TEXT;
    CREATE INDEX queues ON records (kind, due, repository, id) WHERE due IS NOT NULL;
    UPDATE records SET due = json_extract(fields, '$.state') || ' ' || json_extract(fields, '$.created')
        WHERE kind = 'blobs' AND json_extract(fields, '$.state') <> '';
    UPDATE records SET due = json_extract(fields, '$.state') || ' '
        || coalesce(json_extract(fields, '$.since'), json_extract(fields, '$.created'))
        WHERE kind = 'links' AND json_extract(fields, '$.state') <> '';
    UPDATE records SET due = CASE WHEN json_extract(fields, '$.published') <> '' OR json_extract(fields, '$.cancelled')
        THEN 'ended ' ELSE 'open ' END || json_extract(fields, '$.touched') WHERE kind = 'uploads';
    UPDATE records SET due = 'deleted ' || json_extract(fields, '$.deleted')
        WHERE kind IN ('repositories', 'deleted_manifests', 'deleted_tags', 'deleted_links')
        AND json_extract(fields, '$.deleted') IS NOT NULL;
    UPDATE records SET fields = json_set(fields, '$.review', json_extract(fields, '$.created')),
        due = 'review ' || json_extract(fields, '$.created')
        WHERE kind = 'repositories' AND due IS NULL;
    """,
)
"""Each brings the schema from the version that is its index to the next."""

PATIENCE: Final = 30.0
"""Seconds that a write waits for another process's."""

PIECE: Final = 1024 * 1024
"""Bytes of the log at a time."""


def opened(path: Path, migrations: Sequence[str]) -> sqlite3.Connection:
    """A connection to the file, made or brought forward. Raises StorageError where a newer release wrote it."""
    connection = connected(path)
    _flush_log(connection, path)
    _migrate(connection, migrations)
    return connection


def is_database(path: Path) -> bool:
    """Return whether there is a database at `path`. A process killed while it made one may have left an empty file."""
    try:
        return path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False


def connected(path: Path) -> sqlite3.Connection:
    """One more connection, for one thread at a time. Transactions are begun and ended in so many words."""
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a commit is on the disk before it is acknowledged, whatever happens to the machine.
    connection.execute("PRAGMA synchronous = FULL")
    # KiB. The system keeps the file's pages in memory for all; with 2 MB each, 64 readers had 144 MiB of them.
    connection.execute("PRAGMA cache_size = -512")
    return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Alone among all writers until the end of the block: what it wrote is on the disk then, or undone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Where COMMIT itself failed, as on a full disk, SQLite may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _flush_log(connection: sqlite3.Connection, path: Path) -> None:
    """Write the log over itself and flush it: what a crash left there may be in the system's memory alone.

    A commit whose flush failed is undone, but stands in the log until the next commit writes over it; when all
    processes are gone before, SQLite takes it for good. Linux takes its pages for clean, too, and never writes them:
    the next flush would say yes to commits behind it, and a power failure take them all (Rebello et al., "Can
    Applications Recover from fsync Failures?", USENIX ATC 2020).
    """
    with transaction(connection):
        log, start = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC), 0
        try:
            while piece := os.pread(log, PIECE, start):
                start += os.pwrite(log, piece, start)
            os.fsync(log)
        finally:
            os.close(log)


def _migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema to `len(migrations)`; each step is all or nothing, and two processes may try at once.

    Raises StorageError where the file is of a newer release.
    """
    while True:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > len(migrations):
            raise StorageError(f"the metadata has schema version {version}, of a newer release of Lading")
        if version == len(migrations):
            return
        with transaction(connection):
            # Another process may have gone ahead between the look and the lock.
            if connection.execute("PRAGMA user_version").fetchone() == (version,):
                for statement in _statements(migrations[version]):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")


def _statements(script: str) -> Iterator[str]:
    """The statements of `script`: executescript would commit before it begins."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
