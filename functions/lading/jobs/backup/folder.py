"""Folder of a backup: its files, and the drivers that open them. No other module of jobs chooses drivers.

backup.json, backup.lock   the marker and the lock (marker)
metadata.sqlite, blobs/    the same as in any data folder
metadata.sqlite.part       the next state of the metadata, while it is built
incoming/                  objects that are not flushed yet
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading.jobs.backup.marker import BLOBS, DATABASE, BackupRefused
from lading_storage.errors import ForeignStore, ObjectNotFound, StoreDamaged, StoreNotFound
from lading_storage.local import sqlite_backup
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.filesystem_bulk import BulkBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_file import is_database
from lading_storage.local.sqlite_read_only import open_sqlite
from lading_storage.protocols import BlobStore, MetadataStore
from lading_storage.stores import Stores

BackupMetadata = SqliteMetadata
"""The metadata of a backup."""

BackupBlobs = BulkBlobs
"""The blobs of a backup, for writing."""

PageProgress = sqlite_backup.Progress
"""Called with the number of copied database pages, and the number of all pages."""

PART: Final = f"{DATABASE}.part"
MOVE_AWAY: Final = "move {} away, and back up into a new folder"
"""Next step for a backup that cannot be updated."""

INCOMING: Final = "incoming"


class BackupFolder:
    """The files of a backup that is being written."""

    def __init__(self, path: Path) -> None:
        """Work in the folder `path`, whose lock the caller holds; remove the next state that a killed backup left."""
        self.path = path
        self.database = path / DATABASE
        self.part = path / PART
        sqlite_backup.remove_database(self.part)
        self.blobs = BulkBlobs(path / BLOBS, path / INCOMING)

    def open_previous(self) -> SqliteMetadata | None:
        """Open the metadata of the previous backup; return None if there is none.

        Raises:
            ForeignStore: the file belongs to another program.
        """
        try:
            return SqliteMetadata(self.database, create=False)
        except ForeignStore:
            raise
        except StoreNotFound:
            return None

    def copy_of(self, source: Path, progress: sqlite_backup.Progress) -> SqliteMetadata:
        """Create the next state of the metadata as a snapshot of a database."""
        sqlite_backup.copy_snapshot(source, self.part, progress)
        return SqliteMetadata(self.part)

    def copy_of_previous(self, progress: sqlite_backup.Progress) -> SqliteMetadata:
        """Create the next state of the metadata as a copy of the previous backup, or empty if there is none."""
        if self.previous_exists():
            sqlite_backup.copy_snapshot(self.database, self.part, progress)
        return SqliteMetadata(self.part)

    def previous_exists(self) -> bool:
        """Return whether the folder has a database."""
        return self.database.exists() and self.database.stat().st_size > 0

    def put_in_place(self, progress: sqlite_backup.Progress) -> None:
        """Install the next state: flush the objects first, then overwrite the metadata in one transaction."""
        self.blobs.flush()
        self.blobs.sync()
        sqlite_backup.overwrite(self.part, self.database, progress)

    def close(self) -> None:
        """Remove the files that are not part of the backup."""
        self.blobs.close()
        sqlite_backup.remove_database(self.part)


def database_of(metadata: MetadataStore) -> Path | None:
    """Return the database file of a metadata store; None if it is not in a file."""
    return metadata.path if isinstance(metadata, SqliteMetadata) else None


@contextlib.contextmanager
def attribute_damage(folder: Path, database: Path | None) -> Iterator[None]:
    """Make errors about a damaged file say whether it is the backup's or the registry's.

    Args:
        folder: the folder of the backup.
        database: the registry's database file, or None.
    """
    try:
        yield
    except ForeignStore as error:
        raise BackupRefused(f"{error}: {MOVE_AWAY.format(folder)}") from error
    except StoreDamaged as error:
        if not error.path.is_relative_to(folder):
            raise
        if error.path.name == PART and database is not None:
            # Pages are copied unchanged, so the damage is in the registry's database.
            raise StoreDamaged(database, error.why) from error
        raise BackupRefused(
            f"{error.path} is damaged ({error.why}): it is the backup's, not the registry's; {MOVE_AWAY.format(folder)}"
        ) from error


def open_data(folder: Path) -> Stores:
    """Open the stores in a backup or another data folder.

    The database is checked first: a damaged index may make records invisible without an error.

    Raises:
        ObjectNotFound: there are no stores in the folder.
        StoreDamaged: the database is damaged.
    """
    if is_database(folder / DATABASE):
        sqlite_backup.check_integrity(folder / DATABASE)
    try:
        metadata = open_sqlite(folder / DATABASE, create=False)
        return Stores(FilesystemBlobs(folder / BLOBS, create=False), metadata)
    except StoreNotFound:
        raise ObjectNotFound(f"no backup at {folder}; name a folder that `lading backup` wrote") from None


def is_inside(blobs: BlobStore, folder: Path) -> bool:
    """Return whether a folder is the root of a blob store, or inside it."""
    if not isinstance(blobs, FilesystemBlobs):
        return False
    root = blobs.root.resolve()
    return root == folder.resolve() or root in folder.resolve().parents
