"""Creation of the metadata store's schema in SQLite, and migration of files written by older releases.

    1  the first schema
    2  states of links, and blobs found by their objects
    3  intermediate: as 2, but the tables are renamed, to be rebuilt as 4
    4  numbers for kinds and repositories, and one index range per query (sqlite_schema)

Version 3 ensures that from the start of the copy no process of an older release can write, whatever it has open: its
statements fail with "no such table". The new tables are created in a separate file beside the old one, sorted and
packed, and then overwrite the old file in one SQLite transaction. Until that transaction is durable, the file has
version 3, and the next process that opens the file restarts the copy.
"""

import contextlib
import fcntl
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from lading_storage.errors import StorageError
from lading_storage.local.durable_folders import FILE_MODE
from lading_storage.local.sqlite_file import bound_wal, connect, create_private, rewrite_wal, transaction, version_of
from lading_storage.local.sqlite_schema import GLOBAL_SCOPE, INDEXES, TABLES, VERSION, packed
from lading_storage.records.core import Link, Manifest, due_entry
from lading_storage.records.kinds import KINDS

REBUILD_VERSION: Final = 3
"""Version in which the tables of version 2 are renamed, to be rebuilt."""

SCRIPTS: Final[Mapping[int, str]] = {
    0: TABLES + INDEXES,
    # Older links are unverified: it is unknown whether a manifest references them. Blobs are found by their objects.
    1: """
    UPDATE records SET fields = json_set(fields, '$.state', 'loose', '$.since', json_extract(fields, '$.created'))
        WHERE kind = 'links';
    INSERT INTO mentions (kind, field, value, id, repository)
        SELECT kind, 'state', 'loose', id, repository FROM records WHERE kind = 'links';
    INSERT INTO mentions (kind, field, value, id, repository)
        SELECT kind, 'object', json_extract(fields, '$.object'), id, repository FROM records WHERE kind = 'blobs';
    """,
    2: """
    ALTER TABLE records RENAME TO former_records;
    ALTER TABLE mentions RENAME TO former_mentions;
    """,
}
"""Statements that migrate each version to the next one; for 0, an empty file, to the newest version."""

SPACE_FACTOR: Final = 1.5
"""Free bytes needed on the disk per byte of the old file: for the new file, and the write-ahead log of its copy."""

ROWS_PER_STEP: Final = 20_000
PAGES_PER_STEP: Final = 2_048
"""Rows and pages copied between two progress reports."""

FIND_REPOSITORIES: Final = """
INSERT INTO repositories (name)
    SELECT repository FROM former.former_records WHERE repository <> ''
    UNION SELECT id FROM former.former_records WHERE kind = 'repositories'
    ORDER BY 1
"""

COPY_RECORDS: Final = """
INSERT INTO entries (number, kind, repository, position, id, version, due, fields, content)
SELECT o.number, (SELECT number FROM kinds WHERE name = o.kind),
    (SELECT number FROM repositories WHERE name = o.repository),
    CASE WHEN kind IN ('tags', 'deleted_tags') THEN position ELSE packed(id) END,
    CASE WHEN kind IN ('tags', 'deleted_tags') THEN id END,
    version,
    CASE
    WHEN kind IN ('blobs', 'links') AND state <> '' THEN queued(state, coalesce(since, created))
    WHEN kind = 'uploads' THEN queued(CASE WHEN published <> '' OR cancelled THEN 'ended' ELSE 'open' END, touched)
    WHEN kind = 'repositories' AND deleted IS NULL THEN queued('review', created)
    WHEN kind IN ('repositories', 'deleted_manifests', 'deleted_tags', 'deleted_links') THEN
        queued('deleted', coalesce(kept, deleted))
    END,
    CASE WHEN kind = 'repositories' AND deleted IS NULL THEN json_set(fields, '$.review', created) ELSE fields END,
    content
FROM (
    SELECT rowid AS number, kind, repository, position, id, version, fields, content,
        json_extract(fields, '$.state') AS state, json_extract(fields, '$.since') AS since,
        json_extract(fields, '$.published') AS published, json_extract(fields, '$.cancelled') AS cancelled,
        json_extract(fields, '$.touched') AS touched, json_extract(fields, '$.created') AS created,
        json_extract(fields, '$.deleted') AS deleted, json_extract(fields, '$.kept') AS kept
    FROM former.former_records WHERE rowid > ? AND rowid <= ?
) o
"""

COPY_LOOKUPS: Final = """
INSERT INTO lookups (kind, scope, field, value, id, repository, entry)
SELECT ?2, {scope}, m.field, packed(m.value), packed(m.id), r.number, o.rowid
FROM former.former_mentions m
    CROSS JOIN repositories r ON r.name = m.repository
    CROSS JOIN former.former_records o ON (o.kind, o.repository, o.id) = (m.kind, m.repository, m.id)
WHERE m.kind = ?1 AND {fields} ORDER BY 2, 3, 4, 5, 6
"""
COPY_LOCAL_LOOKUPS: Final = COPY_LOOKUPS.format(
    scope="r.number", fields="m.field NOT IN ('id', 'artifact_type', 'state')"
)
COPY_GLOBAL_LOOKUPS: Final = COPY_LOOKUPS.format(scope=GLOBAL_SCOPE, fields="m.field = 'id'")

UNVERIFY_LINKS: Final = """
UPDATE entries
SET due = queued('loose', json_extract(fields, '$.created')),
    fields = json_set(fields, '$.state', 'loose', '$.since', json_extract(fields, '$.created'))
WHERE kind = ? AND due IS NULL AND NOT EXISTS (
    SELECT 1 FROM lookups
    WHERE (kind, scope, field, value) = (?, entries.repository, 'blobs', entries.position)
)
"""
"""The previous release did not update links of deleted manifests. Garbage collection hides or removes these."""


def open_migrated(path: Path) -> sqlite3.Connection:
    """Open the file for writing. Create or migrate it if necessary. Raises StorageError if a newer release wrote it."""
    connection = connect(path)
    try:
        # If another process migrates the file, wait until it has finished, which can take minutes.
        with _migration_lock(path) if version_of(connection) != VERSION else contextlib.nullcontext():
            rewrite_wal(connection, path)
            while (version := version_of(connection)) != VERSION:
                if version > VERSION:
                    raise StorageError(
                        f"the metadata has schema version {version}, of a newer release of Lading; use that release"
                    )
                _step(connection, path, version)
            bound_wal(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _step(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Migrate the file from `version` to the next one."""
    if version == REBUILD_VERSION:
        _rebuild(connection, path)
        return
    if version == REBUILD_VERSION - 1:
        _check_space(connection, path)
    with transaction(connection, version):
        for statement in _statements(SCRIPTS[version]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version + 1 if version else VERSION}")


def _check_space(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StorageError, before anything is changed, if the disk has no space for the new tables."""
    needed, free = space_to_rebuild(connection), shutil.disk_usage(path.parent).free
    if free < needed:
        raise StorageError(
            f"migrating {path} to this release needs {needed // 10**6 + 1} MB of free disk space, and {free // 10**6}"
            " MB are free: free more and start again (the file is unchanged, and the previous release can still use it)"
        )


def space_to_rebuild(connection: sqlite3.Connection) -> int:
    """Return the free bytes of the disk that a rebuild of the open file needs."""
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    return int(pages * size * SPACE_FACTOR)


def _rebuild(connection: sqlite3.Connection, path: Path) -> None:
    """Migrate the file from version 3 to 4, atomically."""
    new = Path(f"{path}-rebuilt")
    new.unlink(missing_ok=True)
    try:
        create_private(new)
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as rebuilt:
            _fill(rebuilt, path)
            rebuilt.backup(
                connection,
                pages=PAGES_PER_STEP,
                progress=lambda _, left, pages: _show_progress("writing to the disk", pages - left, pages),
            )
    finally:
        new.unlink(missing_ok=True)
    _show_progress("done", 1, 1)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _fill(new: sqlite3.Connection, path: Path) -> None:
    """Fill an empty database with the tables of version 4, from the tables of version 3 in `path`."""
    new.create_function("packed", 1, packed, deterministic=True)
    new.create_function("queued", 2, lambda queue, at: due_entry(queue, datetime.fromisoformat(at)), deterministic=True)
    # No other process uses this file, and after a crash it is rebuilt, so it needs no journal. 32 MiB speed up sorting.
    for pragma in ("auto_vacuum = INCREMENTAL", "journal_mode = OFF", "synchronous = OFF", "cache_size = -32768"):
        new.execute(f"PRAGMA {pragma}")
    new.executescript(TABLES)
    new.execute("ATTACH ? AS former", (str(path),))
    new.execute("CREATE TEMP TABLE kinds (name TEXT PRIMARY KEY, number INTEGER)")
    new.executemany("INSERT INTO kinds VALUES (?, ?)", [(kind.KIND, kind.NUMBER) for kind in KINDS])
    new.execute(FIND_REPOSITORIES)
    (last,) = new.execute("SELECT max(rowid) FROM former.former_records").fetchone()
    for start in range(0, last or 0, ROWS_PER_STEP):
        _show_progress("copying records", start, last)
        new.execute(COPY_RECORDS, (start, start + ROWS_PER_STEP))
    for done, kind in enumerate(KINDS):
        _show_progress("copying lookups", done, len(KINDS))
        new.execute(COPY_GLOBAL_LOOKUPS, (kind.KIND, kind.NUMBER))
        new.execute(COPY_LOCAL_LOOKUPS, (kind.KIND, kind.NUMBER))
    _show_progress("searching for unreferenced links", 0, 1)
    new.execute(UNVERIFY_LINKS, (Link.NUMBER, Manifest.NUMBER))
    for statement in _statements(INDEXES):
        _show_progress("creating indexes", 0, 1)
        new.execute(statement)
    new.execute(f"PRAGMA user_version = {VERSION}")
    new.execute("DETACH former")


@contextlib.contextmanager
def _migration_lock(path: Path) -> Iterator[None]:
    """Hold the lock for creating and migrating a file, among processes of this release. Waits without a timeout."""
    file = os.open(f"{path}-queue", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def _show_progress(step: str, done: int, total: int) -> None:
    """Show the progress of the migration if stderr is a terminal."""
    if sys.stderr.isatty():
        end = "\n" if step == "done" else ""
        share = 100 * done // max(1, total)
        sys.stderr.write(f"\r\x1b[Kmigrating the metadata to this release: {step}, {share} %{end}")
        sys.stderr.flush()


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of `script`, for execution one by one: executescript would commit first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
