"""Whose a SQLite file is: looked up before anything is written to it.

The version and the tables are read through SQLite: a file that was just made has them in its log alone.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from lading_storage.errors import ForeignStore
from lading_storage.local.sqlite_file import connect_read_only, is_database, version_of

METADATA_TABLES: Final = frozenset({"entries", "records", "former_records"})
"""Any release's metadata has one of these."""


def is_metadata_store(path: Path) -> bool:
    """Return whether there is a metadata store at `path`. Writes nothing.

    An empty database, as a process killed while it made one leaves it, is none.
    Raises ForeignStore for another program's, Unavailable where the folder cannot be read, and sqlite3.Error.
    """
    if not is_database(path):
        return False
    with contextlib.closing(connect_read_only(path)) as connection:
        version, names = version_of(connection), _names(connection)
    if version and names & METADATA_TABLES:
        return True
    if version or names:
        raise ForeignStore(f"{path} is another program's database")
    return False


def _names(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
