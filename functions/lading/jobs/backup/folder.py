"""The folder of a backup: its files, and the drivers that open them. Only here does a job choose drivers.

backup.json, backup.lock   the marker and the lock                       (marker)
metadata.sqlite, blobs/    a data folder like any other
metadata.sqlite.part       the next state of the metadata, while it is made
incoming/                  objects that are not flushed yet
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lading.jobs.backup.marker import BLOBS, DATABASE, BackupRefused
from lading.jobs.backup.stores import Stores
from lading_storage.errors import ForeignStore, ObjectNotFound, StoreDamaged, StoreNotFound
from lading_storage.local import sqlite_backup
from lading_storage.local.filesystem import FilesystemBlobs
from lading_storage.local.filesystem_bulk import BulkBlobs
from lading_storage.local.sqlite import SqliteMetadata
from lading_storage.local.sqlite_file import is_database
from lading_storage.local.sqlite_read_only import open_sqlite
from lading_storage.protocols import BlobStore, MetadataStore

BackupMetadata = SqliteMetadata
"""The metadata of a backup."""

BackupBlobs = BulkBlobs
"""The blobs of a backup, to be filled."""

PageProgress = sqlite_backup.Progress
"""Called with the pages that are copied, and those there are."""

PART: Final = f"{DATABASE}.part"
MOVE_AWAY: Final = "move {} away, and back up into a new folder"
"""What to do about a backup that cannot be brought up to date."""

INCOMING: Final = "incoming"


class BackupFolder:
    """The files of a backup that is being written."""

    def __init__(self, path: Path) -> None:
        """Work in the folder `path`, whose lock the caller holds; what a killed backup left is removed."""
        self.path = path
        self.database = path / DATABASE
        self.part = path / PART
        sqlite_backup.remove_database(self.part)
        self.blobs = BulkBlobs(path / BLOBS, path / INCOMING)

    def open_previous(self) -> SqliteMetadata | None:
        """Open the metadata of the backup before; None where there is none. Raises ForeignStore."""
        try:
            return SqliteMetadata(self.database, create=False)
        except ForeignStore:
            raise
        except StoreNotFound:
            return None

    def copy_of(self, source: Path, progress: sqlite_backup.Progress) -> SqliteMetadata:
        """Make the next state of the metadata as a copy of a database, as of one moment."""
        sqlite_backup.copy_snapshot(source, self.part, progress)
        return SqliteMetadata(self.part)

    def copy_of_previous(self, progress: sqlite_backup.Progress) -> SqliteMetadata:
        """Make the next state of the metadata as a copy of the backup before, or empty."""
        if self.previous_exists():
            sqlite_backup.copy_snapshot(self.database, self.part, progress)
        return SqliteMetadata(self.part)

    def previous_exists(self) -> bool:
        """Return whether there is a database."""
        return self.database.exists() and self.database.stat().st_size > 0

    def put_in_place(self, progress: sqlite_backup.Progress) -> None:
        """Let the backup have the next state: objects first, then the metadata, in one transaction."""
        self.blobs.flush()
        self.blobs.sync()
        sqlite_backup.overwrite(self.part, self.database, progress)

    def close(self) -> None:
        """Remove what is not part of the backup."""
        self.blobs.close()
        sqlite_backup.remove_database(self.part)


def database_of(metadata: MetadataStore) -> Path | None:
    """Return the file of a metadata store; None where it is in none."""
    return metadata.path if isinstance(metadata, SqliteMetadata) else None


@contextlib.contextmanager
def attribute_damage(folder: Path, database: Path | None) -> Iterator[None]:
    """Say of a damaged file whether it is the backup's, in `folder`, or the registry's, whose database this is."""
    try:
        yield
    except ForeignStore as error:
        raise BackupRefused(f"{error}: {MOVE_AWAY.format(folder)}") from error
    except StoreDamaged as error:
        if not error.path.is_relative_to(folder):
            raise
        if error.path.name == PART and database is not None:
            # Pages are copied as they are.
            raise StoreDamaged(database, error.why) from error
        raise BackupRefused(
            f"{error.path} is damaged ({error.why}): it is the backup's, not the registry's; {MOVE_AWAY.format(folder)}"
        ) from error


def open_data(folder: Path) -> Stores:
    """Open the stores in a backup or another data folder. Raises Missing where there is none.

    The database is checked first: a damaged index may say that there is nothing, without an error. Raises Damaged.
    """
    if is_database(folder / DATABASE):
        sqlite_backup.check_integrity(folder / DATABASE)
    try:
        metadata = open_sqlite(folder / DATABASE, create=False)
        return Stores(FilesystemBlobs(folder / BLOBS, create=False), metadata)
    except StoreNotFound:
        raise ObjectNotFound(f"{folder} holds no backup") from None


def is_inside(blobs: BlobStore, folder: Path) -> bool:
    """Return whether a folder is the one of a blob store, or inside it."""
    if not isinstance(blobs, FilesystemBlobs):
        return False
    root = blobs.root.resolve()
    return root == folder.resolve() or root in folder.resolve().parents
