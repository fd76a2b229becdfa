"""Files of SQLite that are written once, and then only read.

The same rows give the same bytes. A file can come from another registry: no expression of its schema is trusted.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
"""Version of the tables, as user_version."""

APPLICATION: Final = 0x4C564442
"""Identifies the files, as application_id."""


class DatabaseError(Exception):
    """A file is not a database, or is damaged; the message is a clause that says why."""


@contextmanager
def created(path: Path, tables: str) -> Iterator[sqlite3.Connection]:
    """Create a file with tables, for the rows that the block inserts. If the block fails, there is no file."""
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # A failure leaves no file: nothing has to be rolled back.
        for each in ("journal_mode = OFF", "synchronous = OFF", "page_size = 4096"):
            connection.execute(f"PRAGMA {each}")
        for each in (f"application_id = {APPLICATION}", f"user_version = {FORMAT}"):
            connection.execute(f"PRAGMA {each}")
        connection.executescript(tables)
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        path.unlink(missing_ok=True)
        raise
    connection.close()


def opened(path: Path) -> sqlite3.Connection:
    """Open a file to read. It must not change while it is open.

    Raises:
        DatabaseError: it is not one that `created` made, or one of another version of Lading.
    """
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        try:
            for each in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
                connection.execute(f"PRAGMA {each}")
            if (_pragma(connection, "application_id"), _pragma(connection, "user_version")) != (APPLICATION, FORMAT):
                raise DatabaseError(f"it is not a database of vulnerabilities of format {FORMAT}")
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise DatabaseError(f"it cannot be read: {error}") from None
    return connection


def _pragma(connection: sqlite3.Connection, name: str) -> Any:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


@contextmanager
def damage() -> Iterator[None]:
    """Raise DatabaseError where a block finds rows that `created` did not make."""
    try:
        yield
    except (sqlite3.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DatabaseError(f"it is damaged: {error}") from None
