"""Identification of the program that owns an SQLite file, before anything is written to the file.

The version and the tables are read through SQLite, because a new file has them in its write-ahead log only.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from lading_storage.errors import ForeignStore
from lading_storage.local.sqlite_file import connect_read_only, is_database, version_of

METADATA_TABLES: Final = frozenset({"entries", "records", "former_records"})
"""The metadata of every release has one of these tables."""


def is_metadata_store(path: Path) -> bool:
    """Return whether `path` is a metadata store, without writing anything.

    An empty database is none: a process may have been killed while creating one.

    Raises:
        ForeignStore: the database belongs to another program.
        Unavailable: the folder cannot be read.
        sqlite3.Error: the database cannot be read.
    """
    if not is_database(path):
        return False
    with contextlib.closing(connect_read_only(path)) as connection:
        version, tables = version_of(connection), _table_names(connection)
    if version and tables & METADATA_TABLES:
        return True
    if version or tables:
        raise ForeignStore(f"{path} is another program's database")
    return False


def _table_names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
