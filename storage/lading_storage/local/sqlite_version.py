"""Schema version of a metadata store in SQLite, and the disk space that its upgrade needs; nothing is written."""

import contextlib
import shutil
from pathlib import Path

from lading_storage.errors import StoreNotFound
from lading_storage.local.sqlite_errors import translated_errors
from lading_storage.local.sqlite_file import connect_read_only, is_database, version_of
from lading_storage.local.sqlite_migration import REBUILD_VERSION, space_to_rebuild
from lading_storage.local.sqlite_owner import is_metadata_store
from lading_storage.local.sqlite_schema import VERSION
from lading_storage.stored_version import StoredVersion


def stored_version(path: Path) -> StoredVersion:
    """Read the version of a file.

    Raises:
        StoreNotFound: there is no metadata store.
        ForeignStore: the file is another program's database.
        StorageError: the file cannot be read.
    """
    with translated_errors(path):
        if not is_database(path) or not is_metadata_store(path):
            raise StoreNotFound(f"no metadata at {path}")
        with contextlib.closing(connect_read_only(path)) as connection:
            version = version_of(connection)
            if version > REBUILD_VERSION:
                return StoredVersion(version, VERSION)
            return StoredVersion(version, VERSION, space_to_rebuild(connection), shutil.disk_usage(path.parent).free)
